"""The DesignConfig: what is wanted of a design."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, what is going on)."""


class DesignConfig(BaseModel):
    """What is to be designed. The options of `hwnas design`, or a TOML file of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str = "tiny"
    data: str = "digits"
    """A folder of images, or ``digits``."""
    budget_ms: float = Field(gt=0, allow_inf_nan=False)
    frontier: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    """Further budgets, none above `budget_ms`, that are answered from the same supernet."""
    device: str = "local"
    runtime: str | None = None
    """The runtime whose latency the budget limits; None: the device's own."""
    threads: int | None = Field(None, ge=1)
    """Threads per inference; None: as the device says."""
    latency: str | None = None
    """The folder of a latency table to use as it is; None: measure the space (or what is missing of it)."""
    tables: str = "latency_models"
    """Where measured tables are kept."""
    networks: int = Field(30, ge=5, le=1000)
    """Whole networks measured for calibration."""
    accept_conditions: bool = False
    """Use a table although it was measured under other conditions."""

    resolution: int | None = None
    """Side of the input image in pixels; None: the space's own."""
    width: float | None = None
    method: str = "dsnas"
    settings: dict[str, Any] = {}
    """Hyper-parameters of the method by name, such as those of `hwnas.search.dsnas.DSNASSettings`."""
    retrain: bool = False
    """Train what is found from scratch, for as many epochs, instead of keeping the weights it has in the supernet."""
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=2)
    limit_train: int | None = Field(None, ge=2)
    """Use only this many training images."""
    workers: int | None = Field(None, ge=0)
    """Processes that decode images; None: as many as fit this machine."""
    train_threads: int | None = Field(None, ge=1)
    """Threads that train; None: as many as the run began with, at first one per core, or what OMP_NUM_THREADS says."""
    seed: int = Field(0, ge=0)
    torch_device: str = "cpu"

    @field_validator("frontier")
    @classmethod
    def _none_above_the_budget(cls, frontier: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        largest = info.data.get("budget_ms")
        if largest is not None and max(frontier, default=0.0) > largest:
            raise ValueError(
                f"{max(frontier):g} ms is above the budget of {largest:g} ms that is searched; raise that one."
            )
        return frontier


def default_folder(config: DesignConfig) -> Path:
    """A run folder named for what is wanted: ``runs/tiny-digits-0.5ms-litert-1a2b3c``."""
    text = json.dumps(config.model_dump(exclude={"train_threads"}), sort_keys=True)
    name = f"{config.space}-{Path(config.data).name}-{config.budget_ms:g}ms-{config.runtime or config.device}"
    return Path("runs") / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
