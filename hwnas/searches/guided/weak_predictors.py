"""WeakNAS (arXiv 2102.10490; the authors' code: VITA-Group/WeakNAS): weak predictors, each fitted where the last led.

A round fits a predictor to everything evaluated so far, predicts the pool, and draws the next codes from the top of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.special import ndtr

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats, Ints
from hwnas.searches.guided.pool import CodePool
from hwnas.searches.guided.strategies import Strategy

Predictor = Literal["mlp", "forest", "boosting"]

MOST_PREDICTED = 20_000
"""Codes of the pool that are predicted in a round: all of NAS-Bench-201; larger pools are drawn from."""

ENSEMBLE = 5
"""Predictors of the expected-improvement variant."""


@dataclass(frozen=True)
class WeakSettings:
    """Hyper-parameters. The defaults are the authors' for NAS-Bench-201.

    Attributes:
        start: random codes first (n0).
        batch: codes in a round (M).
        top: of so many of the best predicted they are drawn (N).
        predictor: four layers of 1,000 (``mlp``), 1,000 trees of depth 10 (``forest``) or boosted trees (``boosting``).
        improvement: go by the expected improvement of an ensemble instead of by the prediction.
    """

    start: int = 10
    batch: int = 10
    top: int = 100
    predictor: Predictor = "mlp"
    improvement: bool = False

    def __post_init__(self) -> None:
        if self.predictor not in get_args(Predictor):
            raise UsageError(f"a weak predictor is {', '.join(get_args(Predictor))}, not {self.predictor!r}.")
        if min(self.start, self.batch, self.top) < 1:
            raise UsageError("start, batch and top of WeakNAS are 1 or more.")

    @staticmethod
    def published() -> WeakSettings:
        """As the authors' code has them for NAS-Bench-201."""
        return WeakSettings()


class WeakNASStrategy(Strategy):
    """The published loop, on one-hot decisions. Scores are standardised over those known, not over the whole space."""

    def __init__(self, pool: CodePool, seed: int = 0, settings: WeakSettings | None = None) -> None:
        super().__init__(pool, seed)
        self._settings = settings or WeakSettings.published()

    def propose(self) -> list[Ints]:
        settings = self._settings
        if len(self.codes) < settings.start:
            return self.new_draws(settings.start - len(self.codes))
        drawn = self.pool.draw(MOST_PREDICTED, self.rng)
        order = np.argsort(-self._worth(drawn), kind="stable")
        top = [drawn[row] for row in order[: settings.top] if self.is_new(drawn[row])]
        self.rng.shuffle(top)
        beyond = (drawn[row] for row in order[settings.top :] if self.is_new(drawn[row]))
        chosen = top[: settings.batch]
        return chosen + [code for code, _ in zip(beyond, range(settings.batch - len(chosen)), strict=False)]

    def _worth(self, codes: Ints) -> Floats:
        """(n,): what the codes are sorted by, larger is better."""
        scores = np.array(self.scores)
        targets = (scores - scores.mean()) / (scores.std() or 1.0)
        seeds = self.rng.integers(2**31, size=ENSEMBLE if self._settings.improvement else 1)
        known, places = self._one_hot(np.array(self.codes)), self._one_hot(codes)
        found: Floats = np.stack([self._model(int(seed)).fit(known, targets).predict(places) for seed in seeds])
        if not self._settings.improvement:
            single: Floats = found[0]
            return single
        mean, deviation = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-9)
        z = (mean - targets.max()) / deviation
        improvement: Floats = deviation * (z * ndtr(z) + np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
        return improvement

    def _one_hot(self, codes: Ints) -> Floats:
        return np.concatenate([np.eye(size)[codes[:, i]] for i, size in enumerate(self.pool.sizes)], axis=1)

    def _model(self, seed: int) -> Any:
        if self._settings.predictor == "mlp":
            from sklearn.neural_network import MLPRegressor

            return MLPRegressor(hidden_layer_sizes=(1000,) * 4, max_iter=100, random_state=seed)
        from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

        if self._settings.predictor == "forest":
            return RandomForestRegressor(1000, max_depth=10, random_state=seed)
        return GradientBoostingRegressor(n_estimators=200, random_state=seed)
