"""The DesignConfig: what is wanted of a design."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from hwnas.designer.wanted_limits import parse_amount, with_first_budget
from hwnas.errors import UsageError
from hwnas.exporter.precision import get_precision
from hwnas.latency.tables.precision import AUTO_PRECISION, USUAL_PRECISION, table_name
from hwnas.latency.wanted_budget import RULE, WantedBudget, check_none_above, parse_budget, written
from hwnas.networks.registry import NETWORKS
from hwnas.run import DECIDES_NOTHING, place
from hwnas.specs.spec import LARGEST_SIDE
from hwnas.train.mixed_precision import WantedAmp

DesignProgress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, what is going on)."""


def _parsed(budget: Any) -> WantedBudget:
    if budget is None:
        raise ValueError(f"is missing; it {RULE}")
    try:
        return parse_budget(budget)
    except (UsageError, TypeError):
        raise ValueError(RULE) from None


PathText = Annotated[str, BeforeValidator(lambda given: str(given) if isinstance(given, Path) else given)]
"""A path as text; a Path is taken too."""

BudgetField = Annotated[WantedBudget, BeforeValidator(_parsed)]


class DesignConfig(BaseModel):
    """The design that is wanted: the options of `hwnas design`, or a TOML file of the same names.

    A value that is out of range raises pydantic's ValidationError, which is a ValueError.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    space: str | None = None
    """None: chosen by images and budget, as all that is None here (`hwnas.designer.choices`): ``lite-5``, ``lite``,
    ``tiny``."""
    data: PathText = "digits"
    """A folder of images, or ``digits``."""
    budget_ms: BudgetField = Field(default=None, validate_default=True)
    """In ms, or as a share of the space's networks, such as ``60%``: see `hwnas.latency.wanted_budget`."""
    frontier: tuple[BudgetField, ...] = Field(default=(), strict=False)
    """Further budgets, none above `budget_ms`, that are answered from the same supernet."""
    budgets: dict[str, BudgetField] = {}
    """Budgets of further devices, ``DEVICE`` or ``DEVICE/RUNTIME``, that the same network is to be within. Without
    `budget_ms` the first of them is taken for it: see `hwnas.designer.wanted_limits.with_first_budget`."""
    limits: dict[str, float] = {}
    """The most of each counted quantity, such as ``parameters``: see `hwnas.designer.wanted_limits.COUNTED`."""
    latencies: dict[str, str] = {}
    """The folders of further devices' latency tables, by the names of `budgets`; as `latency` is for the first."""
    sustained: PathText | None = None
    """The JSON of ``hwnas bench --minutes``: budgets in ms are for the sustained speed; None: for first runs."""
    device: PathText = "local"
    runtime: str | None = None
    """The runtime whose latency the budget limits; None: the device's own."""
    precision: str | None = None
    """Of the file that the budget is for, whose accuracy is judged: see `hwnas.exporter.precision`; ``auto``: float32
    or int8, whichever file is better within the budget (`hwnas.designer.auto_precision`); None: float32."""
    int8_max_loss: float | None = Field(default=None, ge=0, le=100)
    """Points of validation accuracy that an int8 file may lose before its network is fine-tuned with fake
    quantisation (`hwnas.designer.int8_finetuning`); None: 1."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads per inference; None: as the device says."""
    latency: PathText | None = None
    """The folder of a latency table to use as it is; None: measure the space (or what is missing of it)."""
    tables: PathText = "latency_models"
    """Where measured tables are kept."""
    networks: int = Field(default=30, ge=5, le=1000)
    """Whole networks measured for calibration."""
    accept_conditions: bool = False
    """Use a table although it was measured under other conditions."""

    pretrained: PathText | None = None
    """``none``, ``lite0`` or a file of weights of its form; None: chosen by the number of images."""
    resolution: int | None = Field(default=None, ge=1, le=LARGEST_SIDE)
    """Side of the input image in pixels; None: what the budget suggests, or the space's own."""
    width: float | None = Field(default=None, gt=0, le=100)
    method: str | None = None
    """None: ``once-for-all`` for a folder with few images, else ``dsnas``."""
    settings: dict[str, Any] = {}
    """Hyper-parameters of the method by name, such as those of `hwnas.searches.dsnas.DSNASSettings`."""
    compare: bool | None = None
    """Whether known networks of the same ms are trained too; None: where the weights are fine-tuned (once-for-all)."""
    compare_with: tuple[str, ...] = Field(default=(), strict=False)
    """Names of known networks; none: ``plain-cnn``, and ``efficientnet-lite0`` where its weights are the start."""
    retrain: bool = False
    """Train what is found from scratch, for as many epochs, instead of keeping the weights it has in the supernet."""
    epochs: int | None = Field(default=None, ge=1, le=1_000_000)
    """None: 30; for a folder with few images the more, the fewer there are."""
    batch_size: int = Field(default=32, ge=2, le=65_536)
    limit_train: int | None = Field(default=None, ge=2)
    """Use only this many training images."""
    balance: float = Field(default=0.0, ge=0, le=1)
    """How far small classes are trained on as often as large ones: see `hwnas.train.data.load_data`."""
    workers: int | None = Field(default=None, ge=0, le=1024)
    """Processes that decode images; None: as many as fit this machine."""
    train_threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads that train; None: as many as the run began with, at first OMP_NUM_THREADS or the fastest number."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    torch_device: str = "cpu"
    amp: WantedAmp = "auto"
    """What forward passes of trainings compute in: see `hwnas.train.mixed_precision`."""
    compile: bool = False
    """Whether torch compiles the networks that are trained alone: with `retrain`, and those of `compare`."""

    @model_validator(mode="before")
    @classmethod
    def _with_first_budget(cls, given: Any) -> Any:
        try:
            return with_first_budget(given) if isinstance(given, dict) else given
        except UsageError as error:  # pydantic takes a ValueError
            raise ValueError(str(error).removesuffix(".")) from None

    @property
    def compares(self) -> bool:
        """Whether known networks are asked for."""
        return bool(self.compare or self.compare_with)

    @model_validator(mode="after")
    def _compares_or_not(self) -> DesignConfig:
        if self.compare is False and self.compare_with:
            raise ValueError("compare_with names networks, and nothing is to be compared; leave out one of them")
        return self

    @model_validator(mode="after")
    def _loss_of_int8(self) -> DesignConfig:
        if self.int8_max_loss is not None and self.precision not in ("int8", AUTO_PRECISION):
            raise ValueError("int8_max_loss goes with the precision int8 or auto; leave it out, or say one of them")
        return self

    @model_validator(mode="after")
    def _sustained_of_one_device(self) -> DesignConfig:
        if self.sustained is not None and self.budgets:
            raise ValueError("sustained goes with one budget, and there are several; leave it out, or all but one")
        if unknown := self.latencies.keys() - self.budgets.keys():
            raise ValueError(f"latencies names {min(unknown)!r}, for which there is no further budget")
        return self

    @model_validator(mode="after")
    def _networks_of_a_table(self) -> DesignConfig:
        if (
            "networks" in self.model_fields_set
            and self.latency is not None
            and self.budgets.keys() <= self.latencies.keys()
        ):
            raise ValueError("networks is of a table that is measured, and latency names one; leave out one of them")
        return self

    @field_validator("limits", mode="before")
    @classmethod
    def _amounts(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        try:
            return {name: parse_amount(str(name), amount) for name, amount in given.items()}
        except UsageError as error:
            raise ValueError(str(error).removesuffix(".")) from None

    @field_validator("compare_with")
    @classmethod
    def _known_networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in NETWORKS]:
            raise ValueError(f"there is no known network {unknown[0]!r}; known: {', '.join(NETWORKS)}")
        return names

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, name: str | None) -> str | None:
        try:
            return name if name in (None, AUTO_PRECISION) else get_precision(str(name)).name
        except UsageError as error:  # pydantic takes a ValueError
            raise ValueError(str(error).removesuffix(".")) from None

    @field_validator("frontier")
    @classmethod
    def _none_above_the_budget(
        cls, frontier: tuple[WantedBudget, ...], info: ValidationInfo
    ) -> tuple[WantedBudget, ...]:
        try:
            check_none_above(frontier, info.data.get("budget_ms", math.inf))
        except UsageError as error:  # pydantic takes a ValueError
            raise ValueError(str(error).removesuffix(".")) from None
        return frontier


LONGEST_PART_BYTES = 80
"""Of a name that becomes a part of a folder's name, of which a system allows 255 bytes."""


def without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without further budgets, limits and wishes for speed if there are none: runs of before there
    were any go on."""
    left_out = {"budgets": {}, "limits": {}, "latencies": {}, "amp": "auto", "compile": False}
    return {name: value for name, value in config.items() if name not in left_out or value != left_out[name]}


def default_folder(config: DesignConfig) -> Path:
    """A run folder named for the design: ``runs/tiny-digits-0.5ms-litert-1a2b3c``; see `hwnas.run.place`."""
    wanted = {name: place(name, value) for name, value in without_empty(config.model_dump()).items()}
    wanted = {name: value for name, value in wanted.items() if name not in DECIDES_NOTHING}
    text = json.dumps(wanted, sort_keys=True)
    data, target = _short(Path(wanted["data"]).name), config.runtime or _short(Path(config.device).name)
    budget = written(config.budget_ms).replace(" ", "").replace("%", "percent")
    target = table_name(target, config.precision or USUAL_PRECISION)
    name = f"{config.space or 'design'}-{data}-{budget}-{target}"
    return Path("runs") / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _short(name: str) -> str:
    """The beginning of a name, of as many bytes as leave room for the rest of a folder's name."""
    return os.fsencode(name)[:LONGEST_PART_BYTES].decode(errors="ignore")
