"""The SearchProblem: what every search is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwnas.child import ChildNetwork, weights_checksum
from hwnas.latency.budget import Budget
from hwnas.space import Architecture
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.mixed_precision import Amp


@dataclass(frozen=True)
class SearchProblem:
    """Find the best architecture for `data` within `budget` (which names the space and the predictor).

    Attributes:
        data: training images; a search may look at its train and val splits, never at test.
        budget: limit in ms, space and predictor.
        epochs: passes over the training split.
        seed: of weights, samples and data order.
        torch_device: where to train, as torch writes it: ``cpu``, ``cuda``.
        measured_ms: measures an architecture on the target, if that can be reached: what is found is then within the
            budget by measurement, not only by prediction, before time is spent on training its weights further.
        amp: what forward passes of trainings compute in: see `hwnas.train.mixed_precision`.
        compile: whether networks that are trained alone are compiled: see `hwnas.train.compiling`.
        start: the largest network of the space, whose weights, such as pretrained ones, the SuperNetwork starts from.
    """

    data: ImageData
    budget: Budget
    epochs: int
    seed: int = 0
    torch_device: str = "cpu"
    measured_ms: Callable[[Architecture], float] | None = None
    start: ChildNetwork | None = None
    amp: Amp = "off"
    compile: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what a search finds, method and settings aside, as JSON values.

        The number of processes is among them: each samples a path of its own. That of threads is not.
        """
        data, budget = self.data, self.budget
        return {
            "space": budget.space.name,
            **budget.space.options,
            "images": {
                "train": data.counts["train"],
                "val": data.counts["val"],
                "classes": len(data.classes),
                "resolution": data.resolution,
                "augment": data.augment,
                "seed": data.seed,
                "sha256": data.digest,
                **data.unusual,
            },
            "batch_size": data.batch_size,
            "budget_ms": budget.budget_ms,
            "latencies": {"sha256": budget.predictor.digest},
            "epochs": self.epochs,
            "seed": self.seed,
            "torch_device": self.torch_device,
            "processes": distributed.world_size(),
            "start": None if self.start is None else {"sha256": weights_checksum(self.start.state_dict())},
            **({} if self.amp == "off" else {"amp": self.amp}),
            **({"compile": True} if self.compile else {}),
            **({"further_limits": [limit.to_json() for limit in budget.further]} if budget.further else {}),
        }
