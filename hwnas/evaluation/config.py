"""The StudyConfig: which methods are compared, on what, how often, and how everything is trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hwnas.designer.config import BudgetField, PathText
from hwnas.evaluation.rules import RANDOM, RULES
from hwnas.run import place
from hwnas.searches.registry import SEARCHES
from hwnas.specs.spec import LARGEST_SIDE

RANDOM_SEARCH = "random-search"
"""The name of the search method ``random`` here, where ``random`` is a network that nobody chose."""
METHODS = {name if name not in RULES else RANDOM_SEARCH: name for name in SEARCHES}
"""By the name that a study calls it: the name of a search method."""

GROWS = {
    "methods",
    "seeds",
    "first_seed",
    "data",
    "budget_ms",
    "settings",
    "ranked",
    "ranked_seeds",
    "truth",
    "search_seconds",
}
"""The options that may change when a study goes on: each run of it knows for itself what decided it."""


class StudyConfig(BaseModel):
    """The configuration of a study. The options of `hwnas evaluate`, or a TOML file of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    methods: tuple[str, ...] = Field(default=(), strict=False)
    """Search methods; random networks and the simple rules (`hwnas.evaluation.rules`) are always compared, too."""
    seeds: int = Field(default=3, ge=1, le=1000)
    """Runs of each method, on each data set and budget."""
    first_seed: int = Field(default=0, ge=0, lt=2**31)
    """Seeds are this one and those after it: settings that were chosen on some seeds are compared on others."""
    data: tuple[PathText, ...] = Field(default=("digits",), strict=False, min_length=1)
    """Folders of images, or ``digits``."""
    budget_ms: tuple[BudgetField, ...] = Field(strict=False, min_length=1)
    """In ms, or as shares of the space's networks."""
    space: str = "tiny"
    device: PathText = "local"
    runtime: str | None = None
    latency: PathText | None = None
    """The folder of a latency table; None: that of the device, in `tables`."""
    tables: PathText = "latency_models"
    resolution: int | None = Field(default=None, ge=1, le=LARGEST_SIDE)
    width: float | None = Field(default=None, gt=0, le=100)
    epochs: int = Field(default=30, ge=1, le=1_000_000)
    """Of every supernet, and of every network that is found: each is trained alone, from scratch, in the same way."""
    search_seconds: float | None = Field(default=None, gt=0, le=1e9)
    """Each search goes as far as its pilot says that it does in so many seconds (`hwnas.evaluation.pilots`); None:
    `epochs` for each. Networks that are found are trained for `epochs` in any case."""
    batch_size: int = Field(default=32, ge=2, le=65_536)
    limit_train: int | None = Field(default=None, ge=2)
    settings: dict[str, dict[str, Any]] = {}
    """By method: hyper-parameters other than its defaults."""
    ranked: int = Field(default=0, ge=0, le=10_000)
    """So many more random networks, of any latency, are trained only to be ranked by the supernets."""
    ranked_seeds: int = Field(default=1, ge=1, le=100)
    """Trainings of each of them: 2 or more say what a repeat with another seed agrees with (`gap.seed_ceiling`)."""
    truth: PathText | None = None
    """A CSV of published accuracies (columns ``code`` and ``accuracy``, in percent): regrets are known by it."""
    torch_device: str = "cpu"
    train_threads: int = Field(default=1, ge=1, le=1024)
    """Of each run: one, so that as many workers as there are cores are busy, and results are the same with any."""

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for name in methods:
            if name not in METHODS and name not in RULES:
                raise ValueError(f"{name!r} is no method; known: {', '.join(METHODS)}")
        return tuple(dict.fromkeys(name for name in methods if name not in RULES))

    @field_validator("settings")
    @classmethod
    def _of_methods(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in settings:
            if name not in METHODS:
                hint = "the search method random is random-search here; " if name == RANDOM else ""
                raise ValueError(f"{name!r} is no method that has settings; {hint}known: {', '.join(METHODS)}")
        return settings

    @field_validator("data", mode="before")
    @classmethod
    def _several(cls, data: Any) -> Any:
        return (data,) if isinstance(data, str | Path) else data

    @field_validator("budget_ms", mode="before")
    @classmethod
    def _some(cls, budgets: Any) -> Any:
        return budgets if isinstance(budgets, list | tuple) else (budgets,)

    @property
    def contenders(self) -> tuple[str, ...]:
        """Everything that is compared: the random networks first, the other rules, the methods."""
        return (RANDOM, *(name for name in RULES if name != RANDOM), *self.methods)

    @property
    def shared(self) -> dict[str, Any]:
        """The options that all runs of a study have in common: a folder of another study is refused."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in GROWS}


def default_folder(config: StudyConfig) -> Path:
    """A folder named for what the runs share: ``runs/study-tiny-1a2b3c``."""
    shared = {name: place(name, value) for name, value in config.shared.items()}
    text = json.dumps(shared, sort_keys=True)
    return Path("runs") / f"study-{config.space}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
