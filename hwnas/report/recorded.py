"""The files of a run folder, read back: the configuration of the training, and the design's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.foreign import Finite, Ms, Positive, checked
from hwnas.preprocessing import Crop, Resize
from hwnas.records import read_records
from hwnas.run import COMPARED_FOLDER, FRONTIER_FOLDER, RUN_FILE, SEARCHED_FOLDER

REPORT_FILE, MODELS_FOLDER = "report.json", "models"
"""Of a run: what came out, and the folder of its model files."""
PRECISIONS_FOLDER = "precisions"
"""Of a run whose precision was open: a run for each, of which it holds a copy of the better one."""
PARTS = ((2, FRONTIER_FOLDER), (2, COMPARED_FOLDER), (1, SEARCHED_FOLDER))
"""How many names from the end of the path of a network that is a part of a run each of these folders stands."""
EVALUATED_FILES = ("derivation-*.jsonl", "evaluations*.jsonl")
"""Of a run: what its networks got of the validation images when the best one was looked for."""
MISTAKES_FILE = "mistakes.json"
"""Of a run: pictures of the test images that the network is surest of, and wrong."""
FOUND = "found"
"""The network that is returned as a rule: the one that the search found."""
CURE = "restore it, or delete it to export without its facts"

MISTAKES_CURE = "delete it, and the page does without"

Share = Annotated[float, Field(ge=0, le=1)]


class _Trained(BaseModel):
    """The part of a run's configuration that an export needs: the images that it was trained on."""

    data: str | None = None
    batch_size: int = Field(64, ge=1, le=65_536)
    seed: int = Field(0, ge=0, lt=2**32)
    workers: int | None = Field(None, ge=0, le=1024)
    limit_train: int | None = Field(None, ge=1)


class _Preprocessing(BaseModel):
    mean: list[Finite] = Field(min_length=1, max_length=16)
    std: list[Positive] = Field(min_length=1, max_length=16)
    crop: Crop | None = None
    resize: Resize | None = None

    @model_validator(mode="after")
    def _of_the_same_channels(self) -> _Preprocessing:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean is of {len(self.mean)} channels, std of {len(self.std)}")
        return self


class _Model(BaseModel):
    """An exported file."""

    path: str = ""
    sha256: str = ""
    ms: dict[str, Ms] = {}


class _Limit(BaseModel):
    """One of several limits, and how much of it the network takes."""

    name: str
    told: str
    status: Literal["within", "over", "predicted"]


class _Conditions(BaseModel):
    identity: dict[str, Any]
    circumstances: dict[str, Any]


class _Mistake(BaseModel):
    """See `hwnas.train.confusion.Mistake`."""

    truth: str
    answer: str
    sureness: Share
    picture: str


class _Mistakes(BaseModel):
    mistakes: list[_Mistake] = []


class _Report(BaseModel):
    """The part of a report that a model card and an export use."""

    device: str = ""
    runtime: str | None = None
    status: str | None = None
    budget_ms: Ms | None = None
    predicted_ms: Ms | None = None
    interval_ms: tuple[Finite, Finite] | None = None
    returned: str = FOUND
    measured_ms: dict[str, Ms] = {}
    conditions: dict[str, _Conditions] = {}
    accuracy: Share | None = None
    macs: int | None = Field(None, ge=0)
    params: int | None = Field(None, ge=0)
    classes: list[str] = []
    preprocessing: _Preprocessing | None = None
    images: dict[str, Annotated[int, Field(ge=0)]] | None = None
    models: list[_Model] = []
    limits: list[_Limit] = []

    @model_validator(mode="after")
    def _consistent(self) -> _Report:
        needed = ["runtime", "status", "budget_ms"]
        if self.returned == FOUND:  # no table predicts a known network
            needed += ["predicted_ms", "interval_ms"]
        missing = [name for name in needed if getattr(self, name) is None]
        if self.measured_ms and (missing or self.runtime not in self.measured_ms):
            raise ValueError(f"measured_ms goes with {', '.join(missing or ['that of its runtime'])}")
        if self.predicted_ms is not None and self.interval_ms is not None:
            low, high = self.interval_ms
            if not low <= self.predicted_ms <= high:
                raise ValueError(f"interval_ms must hold predicted_ms (found {self.predicted_ms:g})")
        if (self.macs is None) != (self.params is None):
            raise ValueError("macs and params go together")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must be distinct")
        return self


def run_of(folder: Path) -> Path:
    """The folder of the run that made a saved network: the folder itself, or the run that it is a part of."""
    above = folder.absolute()
    runs = (above.parents[depth - 1] for depth, name in PARTS if above.parts[-depth:][:1] == (name,))
    return next((run for run in runs if (run / RUN_FILE).is_file()), folder)


def run_config(run: Path) -> dict[str, Any]:
    """The configuration of a run; empty for a folder that is no run's. Raises HwnasError where it is damaged.

    Of a run whose precision was open it is that of the precision which was taken.
    """
    path = run / RUN_FILE
    if not path.exists():
        return {}
    if (taken := _taken_precision(run)) is not None:
        return run_config(taken)
    found = read_json(path, "the run")
    config = found.get("config") if isinstance(found, dict) else None
    if not isinstance(config, dict):
        raise HwnasError(f"{path} is damaged: it must hold the run's config; {CURE}.")
    checked(_Trained, config, f"{path} is damaged: config", CURE)
    return config


def _taken_precision(run: Path) -> Path | None:
    """The run of the precision that was taken, of a run whose precision was open; None: it was not."""
    if not (run / PRECISIONS_FOLDER).is_dir() or (report := design_report(run / REPORT_FILE)) is None:
        return None
    taken = run / PRECISIONS_FOLDER / str(report.get("precision"))
    return taken if (taken / RUN_FILE).is_file() else None


def design_report(path: Path) -> dict[str, Any] | None:
    """The report of a design; None where there is none. Raises HwnasError where it is damaged."""
    if not path.exists():
        return None
    found: dict[str, Any] = read_json(path, "the run's report")
    checked(_Report, found, f"{path} is damaged", CURE)
    return found


def budget_status(report: Mapping[str, Any]) -> str:
    """Whether the first budget is kept: ``within``, ``over``, or ``predicted``; the report's own is of all limits."""
    limits = report.get("limits") or ()
    return str(limits[0]["status"] if limits else report["status"])


def evaluated_networks(run: Path) -> list[dict[str, Any]]:
    """The networks of a search that were evaluated on validation images, each once, on the most of them, in the order
    in which they were first; none for a method without it.

    Raises HwnasError where a record is damaged.
    """
    files = sorted((path for name in EVALUATED_FILES for path in run.glob(name)), key=lambda path: path.stat().st_mtime)
    found: dict[Any, dict[str, Any]] = {}
    for record in (each for path in files for each in read_records(path)):
        key = record.get("digest")
        if isinstance(record.get("accuracy"), int | float) and _images(record) >= _images(found.get(key, {})):
            found[key] = record
    return list(found.values())


def _images(record: Mapping[str, Any]) -> float:
    """How many images an evaluation was made with."""
    images = record.get("images")
    return float(images) if isinstance(images, int | float) else 0.0


def surest_mistakes(run: Path) -> list[dict[str, Any]]:
    """The mistakes that were written beside a report; none in a run of an earlier version.

    Raises HwnasError where the file is damaged.
    """
    path = run / MISTAKES_FILE
    if not path.is_file():
        return []
    found = checked(_Mistakes, read_json(path, "the mistakes"), f"{path} is damaged", MISTAKES_CURE)
    return [mistake.model_dump() for mistake in found.mistakes]
