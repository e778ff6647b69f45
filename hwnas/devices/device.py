"""The Device: one TOML file that says how a target is reached and how carefully it is measured."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hwnas.errors import HwnasError, UsageError, unknown_name
from hwnas.foreign import LONGEST_MS, faults_of, read_toml
from hwnas.transports.adb import adb_devices
from hwnas.transports.registry import TRANSPORTS

CORE_CLASSES = ("any", "big", "prime", "little")
"""Words for cores. `hwnas.devices.cores.resolve_cores` turns them into the numbers of one chip."""

DEFAULT_RUNTIMES = dict.fromkeys(TRANSPORTS, "native") | {"local": "litert"}
"""The runtime where the device file names none, by transport: only this machine has Python runtimes of ours."""

NNAPI_GONE = "https://developer.android.com/ndk/guides/neuralnetworks/migration-guide"
NOT_TRIED = ("coreml", "qnn", "hexagon")
"""Delegates of phones that people may look for."""
CPU_GPU = 'say "gpu", or "xnnpack" or "none" for the CPU'

ANY_PHONE = "android-arm64"
"""The device file of a phone that nothing else is known of."""

MOST_THREADS, MOST_BATCH, MOST_RUNS, MOST_VISITS = 1024, 4096, 1_000_000, 1000
"""Beyond these a number is a slip of the keyboard, and a campaign would never end."""
LONGEST_NAME_BYTES = 200
"""A system allows 255 in the name of a folder or file, and a device's name gets an ending."""

Cores = tuple[int, ...] | Literal["any", "big", "prime", "little"]


def _one_line(text: str) -> str:
    """Refuse text that a terminal, a shell or a program's options could take for something else."""
    if not text:
        raise ValueError("must not be empty; leave the field out instead")
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    if text.startswith("-"):
        raise ValueError("must not begin with '-': programs take such a word for an option")
    return text


def _folder_name(text: str) -> str:
    if len(text.encode(errors="surrogatepass")) > LONGEST_NAME_BYTES:
        raise ValueError(f"names a folder of tables too, so it must have at most {LONGEST_NAME_BYTES} bytes")
    forbidden = '/\\:*?"<>|'
    if any(character in forbidden for character in text) or text.startswith("."):
        raise ValueError(f"names a folder of tables too, so it must not begin with '.' nor hold any of {forbidden}")
    return text


def _absolute_path(text: str) -> str:
    if not text.startswith("/") or text.strip("/") == "":
        raise ValueError("must be the absolute path of a folder on the device, such as /data/local/tmp/hwnas")
    return text


def _expanded(text: str) -> str:
    return str(Path(text).expanduser())


OneLine = Annotated[str, AfterValidator(_one_line)]
Celsius = Annotated[float, Field(gt=0, le=150)]


class Device(BaseModel):
    """One target and the rules for measuring it. The table in docs/measuring.md has every field with its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: Annotated[OneLine, AfterValidator(_folder_name)]
    """The word after ``--device``, and the name of the folder its tables go to."""
    description: str = ""
    transport: str = "local"
    """How it is reached: a name in `hwnas.transports.registry`. ``local``: this machine; ``adb``: a phone; ``ssh``: a
    board."""
    serial: OneLine | None = None
    """Of a phone, as ``adb devices`` shows it. None: the one phone that is connected. Only with adb."""
    host: OneLine | None = None
    """Of a board, as ``ssh`` takes it: ``pi@board.local`` or a name of the user's ssh configuration. Only with ssh."""
    folder: Annotated[OneLine, AfterValidator(_absolute_path)] | None = None
    """Where hwnas keeps its files on the device. None: the transport's own choice."""
    hardware: tuple[OneLine, ...] = Field(default=(), strict=False)
    """Models that the file is for, as the device itself says it, ``*`` for anything; others are refused. Empty: any."""

    runtime: OneLine = DEFAULT_RUNTIMES["local"]
    """The runtime unless ``--runtime`` names another; not given: as in `DEFAULT_RUNTIMES`."""
    threads: int = Field(default=1, ge=1, le=MOST_THREADS)
    """Threads per inference."""
    cores: Cores = "any"
    """Numbers of the cores to run on, or one of `CORE_CLASSES`; "any" leaves them to the operating system."""
    batch: int = Field(default=1, ge=1, le=MOST_BATCH)
    """Images per inference; models of another batch size are refused."""
    delegate: Literal["xnnpack", "none", "gpu"] = "xnnpack"
    """The kernels of ``benchmark-model``: XNNPACK's or TFLite's own for the CPU, or those of the GPU."""
    benchmark_model: Annotated[OneLine, AfterValidator(_expanded)] | None = None
    """Path, on this machine, of Google's benchmark_model for the device. None: there is none."""
    python: OneLine = "python3"
    """The Python of a board that has ONNX Runtime: a program's name or absolute path there."""

    warmup_runs: int = Field(default=3, ge=1, le=MOST_RUNS)
    """Untimed runs before a repetition, at least."""
    warmup_ms: float = Field(default=20.0, ge=0, le=LONGEST_MS)
    """Duration of the untimed runs, at least."""
    min_runs: int = Field(default=20, ge=1, le=MOST_RUNS)
    """Timed runs of a repetition, at least (unless `max_ms` ends it)."""
    max_runs: int = Field(default=2000, ge=1, le=MOST_RUNS)
    """Timed runs of a repetition, at most."""
    min_ms: float = Field(default=50.0, ge=0, le=LONGEST_MS)
    """Duration of a visit's timed runs, at least (unless `max_runs` ends it)."""
    max_ms: float = Field(default=1000.0, gt=0, le=LONGEST_MS)
    """Duration after which a visit's warm-up ends, and its timed runs end, whatever is known by then."""
    precision_percent: float = Field(default=1.0, gt=0)
    """A repetition ends once the 95 % confidence interval of the median is within plus or minus this."""

    visits: int = Field(default=2, ge=1, le=MOST_VISITS)
    """Repetitions of each model, spread over the campaign."""
    extra_visits: int = Field(default=2, ge=0, le=MOST_VISITS)
    """Further repetitions of a model, at most, in place of those that were disturbed or do not agree."""
    reference_every: int = Field(default=10, ge=1, le=MOST_RUNS)
    """Repetitions between two measurements of the reference model."""
    drift_limit_percent: float = Field(default=3.0, gt=0)
    """How far the reference may be off its campaign median before the repetitions next to it are made again."""

    cool_down_s: float = Field(default=0.0, ge=0, le=86_400)
    """Pause between two repetitions."""
    max_temperature_celsius: Celsius | None = None
    """No repetition begins while the hottest CPU sensor is above this. None: whatever it is."""
    max_battery_celsius: Celsius | None = None
    """No repetition begins while the battery is above this."""
    max_thermal_status: int | None = Field(default=None, ge=0, le=6)
    """No repetition begins while Android's thermal status, 0 (none) to 6 (shutdown), is above this."""
    min_battery_percent: int | None = Field(default=None, ge=0, le=100)
    """No repetition begins while the battery is below this."""
    max_wait_s: float = Field(default=600.0, ge=0, le=604_800)
    """How long a campaign waits for these limits before it ends, to be continued later."""
    stay_awake: bool = False
    """Keep a plugged-in phone's screen on while it is measured: with it off, some phones use slow cores only."""

    @model_validator(mode="before")
    @classmethod
    def _runtime_of_transport(cls, given: Any) -> Any:
        if isinstance(given, dict) and "runtime" not in given:
            transport = given.get("transport")
            if isinstance(transport, str) and transport in DEFAULT_RUNTIMES:
                return given | {"runtime": DEFAULT_RUNTIMES[transport]}
        return given

    @field_validator("delegate", mode="before")
    @classmethod
    def _delegate(cls, given: Any) -> Any:
        if given == "nnapi":
            raise ValueError(
                f"NNAPI is deprecated since Android 15 ({NNAPI_GONE}), and hwnas measures it no more; {CPU_GPU}"
            )
        if given in NOT_TRIED:
            raise ValueError(f"hwnas has no way to {given}, which was never tried with it; {CPU_GPU}")
        return given

    @field_validator("cores", mode="plain")
    @classmethod
    def _cores(cls, given: Any) -> Cores:
        if isinstance(given, str) and given in CORE_CLASSES:
            return cast(Cores, given)
        numbers = isinstance(given, list | tuple) and all(type(core) is int and core >= 0 for core in given)
        if not numbers or not given or len(set(given)) < len(given):
            raise ValueError(f"must name each core once, such as [0, 1], or be one of {', '.join(CORE_CLASSES)}")
        return tuple(given)

    @model_validator(mode="after")
    def _consistent(self) -> Device:
        if self.transport not in TRANSPORTS:
            raise ValueError(f"transport is {self.transport!r}; hwnas can reach a device by: {', '.join(TRANSPORTS)}")
        own = TRANSPORTS[self.transport].address_field
        for transport, kind in TRANSPORTS.items():
            field = kind.address_field
            if field and field != own and getattr(self, field) is not None:
                raise ValueError(
                    f"{field} is {getattr(self, field)!r}, but transport is {self.transport!r}; "
                    f'a {field} goes with transport = "{transport}" only'
                )
        for low, high in (("min_runs", "max_runs"), ("min_ms", "max_ms")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} is {getattr(self, low)}, above {high} = {getattr(self, high)}")
        return self

    def __repr__(self) -> str:
        """Which device it is and how it is used; the 30 fields are in `model_dump`."""
        way = " ".join(filter(None, (self.transport, self.address)))
        return f"Device({self.name!r}: {way}, runtime {self.runtime}, threads {self.threads}, cores {self.cores})"

    __str__ = __repr__

    @property
    def address(self) -> str | None:
        """The serial or host that tells it from other devices of its transport; None: the file names none."""
        field = TRANSPORTS[self.transport].address_field
        return getattr(self, field) if field else None

    def is_for(self, model: str | None) -> bool:
        """Whether a device that calls itself `model` is of this Device's `hardware`."""
        patterns = (".*".join(map(re.escape, allowed.split("*"))) for allowed in self.hardware)
        return not self.hardware or any(re.fullmatch(pattern, model or "", re.DOTALL) for pattern in patterns)

    def with_threads(self, threads: int | None) -> Device:
        """This Device with another number of threads; None: as it is. Raises UsageError below 1."""
        if threads is None:
            return self
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
            raise UsageError(
                f"a model runs on 1 to {MOST_THREADS} threads, threads is {threads!r}; give the number of cores to use."
            )
        return self.model_copy(update={"threads": threads})


def shipped_devices() -> dict[str, Path]:
    """The device files that come with hwnas, by name."""
    package = Path(__file__).parents[1]
    folders = (package / "data" / "devices", package.parent / "devices")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))}


def known_devices() -> dict[str, Path]:
    """Every device file that can be named, by name: the working folder's, then those that come with hwnas."""
    return shipped_devices() | {file.stem: file for file in sorted(Path("devices").glob("*.toml"))}


def load_device(device: Device | Path | str) -> Device:
    """The Device of that name, in the TOML file at that path, or of the phone with that serial; a Device as it is.

    Everything that takes a device takes it in one of these ways, and finds it here.

    Raises UsageError, with the list of known devices, for an unknown name, and HwnasError, naming the file, the field
    and its value, for a file that breaks the rules.
    """
    if isinstance(device, Device):
        return device
    path = Path(device)
    if path.suffix != ".toml":
        devices = known_devices()
        if str(device) not in devices:
            return _phone(str(device))
        path = devices[str(device)]
    return _read(path)


def comes_with_hwnas(device: Device) -> bool:
    """Whether a Device is as a file that comes with hwnas says, but for its threads: not one that a person wrote."""
    path = shipped_devices().get(device.name)
    return path is not None and _read(path).with_threads(device.threads) == device


def _phone(serial: str) -> Device:
    """A phone that has no file of its own: any phone's settings, and its serial for a name."""
    with suppress(HwnasError):  # no adb: then it is no phone either
        if serial in (phone.serial for phone in adb_devices()):
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", serial).strip("-.") or "phone"
            return _read(shipped_devices()[ANY_PHONE]).model_copy(update={"name": name, "serial": serial})
    raise unknown_name("device", serial, list(known_devices()))


def _read(path: Path) -> Device:
    """The Device of a file. Raises HwnasError if it cannot be read or breaks the rules."""
    given = read_toml(path, "the device file")
    try:
        return Device.model_validate(given)
    except ValidationError as error:
        raise HwnasError(
            f"the device file {path}: {faults_of(error, tuple(Device.model_fields))}. Correct it; local.toml, "
            "android-arm64.toml and raspberry-pi-5.toml show every field."
        ) from None
