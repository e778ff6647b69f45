"""WeakNAS (arXiv 2102.10490): predictors that are fitted to what was evaluated say which child to evaluate next.

What children are worth, by inherited or by weights of their own, is that of `hwnas.searches.one_shot`; what is proposed
differs. By default a Gaussian process over architectures proposes (`benchmarks/queries.py` compares it with the
published loop).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.budget import Budget
from hwnas.run import Run
from hwnas.searches.contracts import Evaluation
from hwnas.searches.guided.bayesian import BayesianStrategy
from hwnas.searches.guided.features import CodeFeatures
from hwnas.searches.guided.pool import BudgetPool
from hwnas.searches.guided.strategies import Strategy
from hwnas.searches.guided.weak_predictors import WeakNASStrategy, WeakSettings
from hwnas.searches.method import Method
from hwnas.searches.one_shot import OneShotSettings, one_shot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture, SearchSpace
from hwnas.train.loop import TrainingProgress

Predictor = Literal["process", "mlp", "forest", "boosting"]
Prior = Literal["none", "macs"]


@dataclass(frozen=True)
class WeakNASSettings(OneShotSettings):
    """Hyper-parameters. Those of the supernet and of the evaluations: `OneShotSettings`; `population` is not used.

    Attributes:
        predictor: ``process``, a Gaussian process; or one of the published weak predictors: ``mlp``, ``forest``,
            ``boosting``.
        prior: of the process: ``none``, or ``macs``, with which accuracy is expected to rise before anything is known.
        start, batch, top: of the weak predictors: n0, M and N; see `hwnas.searches.guided.weak_predictors`.
    """

    predictor: Predictor = "process"
    prior: Prior = "none"
    start: int = 10
    batch: int = 10
    top: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predictor not in get_args(Predictor):
            raise UsageError(f"predictor must be one of {', '.join(get_args(Predictor))}, not {self.predictor!r}.")
        if self.prior not in get_args(Prior):
            raise UsageError(f"prior must be {' or '.join(get_args(Prior))}, not {self.prior!r}.")
        if self.prior != "none" and self.predictor != "process":
            raise UsageError(f"a prior is the process's; predictor {self.predictor!r} has none.")
        if min(self.start, self.batch, self.top) < 1:
            raise UsageError(f"start, batch and top are 1 or more, not {self.start}, {self.batch} and {self.top}.")

    @staticmethod
    def published() -> WeakNASSettings:
        """The authors' loop for NAS-Bench-201: a multilayer perceptron, 10 codes a round of the best 100, 1,000 in all,
        each judged by its accuracy after a whole training of its own."""
        return WeakNASSettings(predictor="mlp", evaluate="trained", evaluations=1000, compare_by="accuracy")


class StrategyProposer:
    """A Proposer that asks a strategy for codes and builds them.

    Args:
        budget: within which the strategy's pool is; names the space.
        strategy: what is asked.
    """

    def __init__(self, budget: Budget, strategy: Strategy) -> None:
        self._space, self._strategy = budget.space, strategy

    def ask(self, count: int) -> list[Architecture]:
        return [self._space.decode(code.tolist()) for code in self._strategy.ask(count)]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        codes = [self._space.indices(evaluation.architecture) for evaluation in evaluations]
        self._strategy.tell(np.array(codes, dtype=int), np.array([evaluation.score for evaluation in evaluations]))


class CodeMacs:
    """The multiply-accumulates of codes of a space; each is worked out once."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._known: dict[bytes, float] = {}

    def __call__(self, codes: Ints) -> Floats:
        for code in codes:
            if code.tobytes() not in self._known:
                self._known[code.tobytes()] = float(self._space.decode(code.tolist()).macs)
        return np.array([self._known[code.tobytes()] for code in codes])


def strategy_proposer(budget: Budget, settings: WeakNASSettings, seed: int) -> StrategyProposer:
    """The proposer that the settings name, within a budget."""
    pool = BudgetPool(budget)
    if settings.predictor == "process":
        prior = CodeMacs(budget.space) if settings.prior == "macs" else None
        strategy = BayesianStrategy(pool, CodeFeatures.of_space(budget.space), seed, prior=prior)
        return StrategyProposer(budget, strategy)
    weak = WeakSettings(settings.start, settings.batch, settings.top, settings.predictor)
    return StrategyProposer(budget, WeakNASStrategy(pool, seed, weak))


def weaknas(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: WeakNASSettings | None = None,
) -> SearchResult:
    """Search with WeakNAS over children with inherited or trained weights. Raises as `hwnas.searches.dsnas.dsnas`."""
    settings = settings or WeakNASSettings()

    def guided(budget: Budget, _: OneShotSettings, seed: int) -> StrategyProposer:
        return strategy_proposer(budget, settings, seed)

    return one_shot(guided, problem, run, progress, settings)


WEAKNAS = Method(
    weaknas,
    WeakNASSettings,
    summary="WeakNAS (arXiv 2102.10490): the same supernet, its children proposed by predictors of what was evaluated",
    weights="a block per candidate",
    trains="one uniform path",
    decides="predictors of inherited losses",
    section="WeakNAS",
)
