"""The searches by name, and the verb. Adding one is a module with a function and a line in `SEARCHES`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwnas.errors import unknown_name
from hwnas.latency.budget import Budget
from hwnas.latency.predictor import AdditivePredictor
from hwnas.searches.dsnas import DSNASSettings, dsnas
from hwnas.searches.lambda_search import LambdaSearchSettings, lambda_search
from hwnas.searches.one_shot import OneShotSettings, random_search, spos
from hwnas.searches.problem import Method, SearchProblem, SearchResult
from hwnas.searches.proxyless import ProxylessSettings, proxyless
from hwnas.searches.single_path import SinglePathSettings, single_path
from hwnas.searches.snas import SNASSettings, snas
from hwnas.space import SearchSpace
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.loop import Progress, open_run
from hwnas.train.threads import training_threads

SEARCHES: dict[str, Method] = {
    "dsnas": Method(dsnas, DSNASSettings),
    "spos": Method(spos, OneShotSettings),
    "random": Method(random_search, OneShotSettings),
    "single-path": Method(single_path, SinglePathSettings),
    "single-path-lambda": Method(lambda_search, LambdaSearchSettings),
    "snas": Method(snas, SNASSettings),
    "proxyless": Method(proxyless, ProxylessSettings),
}


def get_search(name: str) -> Method:
    """A search method by name. Raises UsageError, listing the known ones, for another."""
    if name not in SEARCHES:
        raise unknown_name("search method", name, list(SEARCHES))
    return SEARCHES[name]


def search(
    space: SearchSpace,
    data: ImageData,
    predictor: AdditivePredictor,
    budget_ms: float,
    out: Path | str,
    method: str = "dsnas",
    epochs: int = 30,
    seed: int = 0,
    progress: Progress | None = None,
    train_threads: int | None = None,
    **settings: Any,
) -> SearchResult:
    """Search a space for the best architecture within a budget; ``result.take()`` is the network with its weights.

    Args:
        space: with as many classes as the data.
        data: training images, from `hwnas.load_data`.
        predictor: from `hwnas.fit`.
        budget_ms: limit on the latency of one inference.
        out: run folder; a run that was stopped goes on.
        method: one of `SEARCHES`.
        epochs: passes over the training images.
        seed: of everything random.
        progress: called after each step with (steps done, steps in all, figures).
        train_threads: threads per process; None: as the run began, at first the fastest number.
        settings: hyper-parameters of the method by name, such as those of `DSNASSettings`.

    Raises:
        UsageError: an unknown method or setting, or an impossible budget.
        HwnasError: no architecture of the space is within the budget; the run folder is of something else.
    """
    chosen = get_search(method)
    resolved = chosen.resolve(settings)
    budget = Budget(budget_ms, space, predictor)
    budget.check_feasible()
    torch_device = distributed.join("cpu")
    problem = SearchProblem(data, budget, epochs, seed, torch_device)
    run = open_run(out, problem.identity | {"method": method, "settings": asdict(resolved)})
    with training_threads(run.folder, train_threads):
        return chosen.search(problem, run, progress, resolved)
