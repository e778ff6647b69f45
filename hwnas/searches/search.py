"""The verb: search a space for the best architecture within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwnas.arguments import expect, whole_number
from hwnas.child import save_child
from hwnas.latency.budget import Budget
from hwnas.latency.limit import Limit
from hwnas.latency.predictor import LatencyPredictor, check_predictor
from hwnas.latency.wanted_budget import WantedBudget, resolve_budget
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture, SearchSpace, check_space
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.loop import TrainingProgress, open_run
from hwnas.train.mixed_precision import WantedAmp, resolve_amp
from hwnas.train.threads import training_threads


def search(
    space: SearchSpace,
    data: ImageData,
    predictor: LatencyPredictor,
    budget_ms: WantedBudget,
    out: Path | str,
    method: str = "dsnas",
    epochs: int = 30,
    seed: int = 0,
    progress: TrainingProgress | None = None,
    train_threads: int | None = None,
    settings: Mapping[str, Any] | None = None,
    torch_device: str = "cpu",
    measured_ms: Callable[[Architecture], float] | None = None,
    further_limits: Sequence[Limit] = (),
    amp: WantedAmp = "auto",
) -> SearchResult:
    """Search a space for the best architecture within a budget; ``result.derive()`` is the network with its weights.

    It is what `hwnas search` does before it exports and measures, and leaves the network in the run folder, too.
    Threads of one process that search at once find what each alone finds, but wait for each other.

    Args:
        space: with as many classes as the data.
        data: training images, from `hwnas.load_data`.
        predictor: from `hwnas.fit`.
        budget_ms: limit on the latency of one inference, or a share of the space's networks such as ``60%``: see
            `hwnas.latency.wanted_budget`.
        out: run folder; a run that was stopped goes on.
        method: one of `SEARCHES`.
        epochs: passes over the training images.
        seed: of everything random.
        progress: called after each step with (steps done, steps in all, figures).
        train_threads: threads per process; None: as the run began, at first the fastest number.
        settings: hyper-parameters of the method by name, such as those of `DSNASSettings`; None: its defaults.
        torch_device: where to train, as torch writes it: ``cpu``, ``cuda``.
        measured_ms: measures an architecture on the target; what is derived is then within the budget by measurement.
        further_limits: of other devices, or of what is counted, that hold at the same time.
        amp: what forward passes compute in; ``auto``: bfloat16 or float16 on GPUs, float32 elsewhere.

    Raises:
        UsageError: an argument of another type or out of range, an unknown method or setting, or an impossible budget.
        HwnasError: no architecture of the space is within the budget; the run folder is of something else; the training
            diverged.
    """
    check_space(space)
    expect(data, ImageData, "data", "the images that hwnas.load_data gives")
    check_predictor(predictor)
    epochs, seed = whole_number(epochs, "epochs", 1), whole_number(seed, "seed", 0, 2**32 - 1)
    chosen = get_search(method)
    resolved = chosen.resolve(settings or {})
    budget = Budget(resolve_budget(budget_ms, space, predictor), space, predictor, tuple(further_limits))
    budget.check_feasible()
    device = distributed.join(torch_device)
    problem = SearchProblem(data, budget, epochs, seed, device, measured_ms, amp=resolve_amp(amp, device))
    run = open_run(out, problem.identity | {"method": method, "settings": asdict(resolved)})
    with training_threads(run.folder, train_threads):
        result = chosen.search(problem, run, progress, resolved)
        distributed.from_first(lambda: save_child(result.derive(), run.folder))
    return result
