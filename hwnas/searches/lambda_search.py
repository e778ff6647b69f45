"""A search over lambda: several searches of Single-Path NAS, each with a fixed weight of latency, until one fits.

The loss of a fixed lambda does not know the budget, so somebody has to find the lambda that leads to it. The budget's
own multiplier does that within one search; this is the other way, for comparison, as Single-Path+ (arXiv 1907.00959)
proposes it. Its algorithm is not public; ours is bisection of ``log lambda``: latency falls, on average, as it grows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hwnas.errors import HwnasError, UsageError
from hwnas.run import Run
from hwnas.searches.method import Method
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.single_path import SinglePathTrainer
from hwnas.searches.single_path_settings import SinglePathSettings
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress, open_run, train


@dataclass(frozen=True)
class LambdaSearchSettings(SinglePathSettings):
    """Those of the searches, and how many there are.

    Attributes:
        trials: searches in all; each halves the range of ``log lambda``.
        lowest, highest: the range of lambda (0.020 in the authors' README, 0.1 in their code).
    """

    trials: int = 5
    lowest: float = 1e-5
    highest: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latency_weight is not None:
            raise UsageError("latency_weight (lambda) is what this method looks for; leave it out.")
        if not (self.trials >= 1 and 0 < self.lowest < self.highest):
            raise UsageError(
                "there must be a trial or more, and lambdas above 0 to choose from, lowest < highest, not "
                f"trials={self.trials}, lowest={self.lowest:g}, highest={self.highest:g}."
            )

    def trial(self, latency_weight: float) -> SinglePathSettings:
        """The settings of one search."""
        own = ("trials", "lowest", "highest")
        shared = {name: value for name, value in asdict(self).items() if name not in own}
        return SinglePathSettings(**shared | {"latency_weight": latency_weight})


@dataclass
class LambdaTrial:
    """One lambda, its search, and the ms of the network that its indicators chose, before any decoding."""

    latency_weight: float
    trainer: SinglePathTrainer
    run: Run
    searched_ms: float


def lambda_search(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: LambdaSearchSettings | None = None,
) -> SearchResult:
    """Search for the lambda that leads closest below the budget, and go on with that search. Resumes where it stopped.

    Each trial has a folder of its own in the run's, named for its lambda. Raises as `single_path`.
    """
    settings = settings or LambdaSearchSettings()
    problem.budget.check_feasible()
    writes = distributed.rank() == 0
    if writes:
        run.rewind(0)
    low, high = math.log(settings.lowest), math.log(settings.highest)
    trials: list[LambdaTrial] = []
    for number in range(settings.trials):
        latency_weight = math.exp((low + high) / 2)
        tried = [each.latency_weight for each in trials]
        trial = _search_once(problem, run, progress, settings, latency_weight, tried)
        trials.append(trial)
        if writes:
            figures = {"lambda": latency_weight, "expected_ms": trial.searched_ms}
            run.log({"step": number + 1, "epoch": number, **figures})
        if trial.searched_ms > problem.budget.target_ms:
            low = math.log(latency_weight)
        else:
            high = math.log(latency_weight)
    best = min(trials, key=lambda trial: _distance(trial.searched_ms, problem.budget.target_ms))
    best.trainer.total_steps = problem.epochs * problem.data.steps_per_epoch
    train(best.trainer, problem.data, best.run, progress, settings.checkpoint_seconds)
    return best.trainer.result()


def _search_once(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None,
    settings: LambdaSearchSettings,
    latency_weight: float,
    known: Sequence[float],
) -> LambdaTrial:
    """The search of one lambda, as far as the hand-over, after those of others."""
    trainer = SinglePathTrainer(problem, settings.trial(latency_weight))
    trainer.total_steps = trainer.search_steps
    folder, config = run.folder / f"lambda-{latency_weight:.3g}", {"lambda": latency_weight, **run.config}
    if latency_weight not in known and folder.name in {f"lambda-{each:.3g}" for each in known}:
        folder = run.folder / f"lambda-{latency_weight:.9g}"  # late trials are nearly the same
    own = open_run(folder, config)

    def on_step(done: int, total: int, figures: dict[str, float]) -> None:
        if progress is not None:
            progress(len(known) * total + done, settings.trials * total, figures)

    trainer.run, trainer.progress = own, progress
    train(trainer, problem.data, own, on_step, settings.checkpoint_seconds)
    logged = distributed.from_first(lambda: [r for r in own.metrics() if r["step"] == trainer.search_steps])
    if not logged:
        raise HwnasError(
            f"{own.folder} lacks the figures of its step {trainer.search_steps}, which tell the ms that its "
            "lambda leads to. Delete that folder to have this lambda searched again."
        )
    return LambdaTrial(latency_weight, trainer, own, logged[-1]["expected_ms"])


def _distance(searched_ms: float, target_ms: float) -> tuple[bool, float]:
    """Over the target is worse than any distance below it."""
    return searched_ms > target_ms, abs(searched_ms - target_ms)


SINGLE_PATH_LAMBDA = Method(
    lambda_search,
    LambdaSearchSettings,
    summary="Single-Path NAS, searched for the lambda that fits the budget (arXiv 1907.00959)",
    weights="one largest block per decision",
    trains="the largest network, masked",
    decides="thresholds, for several lambdas",
    section="Which lambda?",
)
