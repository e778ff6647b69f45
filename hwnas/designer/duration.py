"""How long the trainings of a design will take: said before they begin, from a few steps of each network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from hwnas.designer.choices import middle_architecture
from hwnas.networks.scaling import ScaledNetwork
from hwnas.searches.once_for_all import OnceForAllSettings
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture
from hwnas.supernet.start import largest_architecture
from hwnas.train.child import ChildTrainer
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import seeded

TIMED_STEPS = 3
"""Of each network; one before them warms up."""


@dataclass(frozen=True)
class PlannedTraining:
    """So many steps with one network, beside the answers of a teacher if it has one; `what` it is for."""

    what: str
    network: Architecture
    steps: int
    teacher: Architecture | None = None


def planned(problem: SearchProblem, settings: Any, rivals: Sequence[ScaledNetwork]) -> list[PlannedTraining]:
    """The trainings of a design that fine-tunes; empty for other methods, whose steps are of another kind.

    Within the budget networks are about as long to train as the middle one, which decides the resolution.
    """
    space, total = problem.budget.space, problem.epochs * problem.data.steps_per_epoch
    if not isinstance(settings, OnceForAllSettings):
        return []
    largest, middle = largest_architecture(space), middle_architecture(space)
    teacher = largest if settings.largest else None

    def steps(share: float) -> int:
        return round(share * total)

    return [
        PlannedTraining("search", largest, steps(settings.largest)),
        PlannedTraining("search", middle, steps(settings.search - settings.largest), teacher),
        PlannedTraining("search", middle, steps(1 - settings.search), teacher),
        *(PlannedTraining(each.network, each.architecture, total) for each in rivals),
    ]


def expected_seconds(
    plan: Sequence[PlannedTraining], problem: SearchProblem, settings: FineTuningSettings
) -> dict[str, float]:
    """Seconds by what is trained, with as many threads as torch has now; steps are timed on random images, once where
    several trainings have the same.

    Evaluation, export and the last measurements come on top: a minute or so.
    """
    seconds: dict[str, float] = {}
    step_s: dict[tuple[Architecture, Architecture | None], float] = {}
    for training in plan:
        step = training.network, training.teacher
        if step not in step_s:
            step_s[step] = _step_seconds(training, problem, settings)
        seconds[training.what] = seconds.get(training.what, 0.0) + training.steps * step_s[step]
    return seconds


def told(seconds: dict[str, float]) -> str:
    """Expected seconds for people: ``training takes about 12 min: 7 for search, 2 for plain-cnn, 3 for ...``."""
    parts = ", ".join(f"{_minutes(each)} for {what}" for what, each in seconds.items())
    return f"training takes about {_minutes(sum(seconds.values()))} min with {_threads()}: {parts}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.2g}" if seconds < 600 else f"{seconds / 60:.0f}"


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count > 1)}"


def _step_seconds(training: PlannedTraining, problem: SearchProblem, settings: FineTuningSettings) -> float:
    """The median of a few steps."""
    device, data = problem.torch_device, problem.data
    trainer = ChildTrainer(training.network, data, 1, 0, device, settings, amp=problem.amp)
    size, classes = (data.batch_size, *training.network.input_shape), len(data.classes)
    with seeded(0):
        images, labels = torch.rand(size), torch.arange(size[0]) % classes
    teacher = None
    if training.teacher is not None:
        teacher = ChildTrainer(training.teacher, data, 1, 0, device, settings).net.eval()
    trainer.net.train()
    found = []
    for _ in range(1 + TIMED_STEPS):
        begun = time.perf_counter()
        if teacher is not None:
            with torch.no_grad(), trainer.precision.forward():
                teacher(images.to(device, memory_format=torch.channels_last))
        trainer.step(images, labels)
        found.append(time.perf_counter() - begun)
    return median(found[1:])
