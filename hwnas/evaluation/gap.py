"""The optimisation gap of weight sharing, measured: what a supernet says of networks that are trained alone.

After "Weight-Sharing Neural Architecture Search: a battle to shrink the optimization gap" (arXiv 2008.01475) and
DARTS-PT (arXiv 2108.04392). The *discretisation gap* is lost where one architecture is taken out of a supernet; the
*retraining gap* lies between inherited weights and the same network's own; and *ranking* says whether choosing by
inherited accuracy chooses what is best after training.
"""

from __future__ import annotations

import copy
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor, nn

from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.mixed import mixed
from hwnas.supernet.network import SuperNetwork
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy, recalibrate_batch_norm

TOP_NETWORKS = 5
"""The best trained network should be among so many by inherited accuracy."""
QUARTILE = 0.75
"""Only the best quarter matters to a search."""
FEWEST_RANKED = 3
"""Fewer networks have no rank correlation worth the name."""
SAMPLED_PATHS = 8


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b between two scores of the same networks, from -1 to 1, and its standard error (jackknife)."""

    tau: float
    error: float | None
    networks: int

    @staticmethod
    def of(scores: Sequence[float], accuracies: Sequence[float]) -> Correlation | None:
        """None for fewer than `FEWEST_RANKED` networks, and where all scores or all accuracies are equal."""
        count = len(scores)
        tau = kendall_tau(scores, accuracies)
        if count < FEWEST_RANKED or not math.isfinite(tau):
            return None
        without = [
            kendall_tau([*scores[:i], *scores[i + 1 :]], [*accuracies[:i], *accuracies[i + 1 :]]) for i in range(count)
        ]
        error = math.sqrt((count - 1) / count * sum((each - fmean(without)) ** 2 for each in without))
        return Correlation(tau, error if math.isfinite(error) else None, count)


def kendall_tau(scores: Sequence[float], accuracies: Sequence[float]) -> float:
    """Kendall's tau-b; NaN where all scores, or all accuracies, are equal."""
    from scipy.stats import kendalltau

    if min(len(set(scores)), len(set(accuracies)), len(scores)) < 2:
        return math.nan
    return float(kendalltau(scores, accuracies).statistic)


@dataclass(frozen=True)
class Ranking:
    """How well a score orders networks by their trained accuracy.

    Attributes:
        all_networks: the correlation over all of them.
        top_quartile: over the quarter of the best trained ones; None where they are too few.
        hit: whether the best trained one is among the `TOP_NETWORKS` best by score; None where all are.
        regret: accuracy (0 to 1) lost by taking the one of the best score.
    """

    all_networks: Correlation | None
    top_quartile: Correlation | None
    hit: bool | None
    regret: float

    @staticmethod
    def of(scores: Sequence[float], accuracies: Sequence[float]) -> Ranking:
        """The ranking of one network or more; `accuracies` are the trained ones, 0 to 1."""
        limit = float(np.quantile(accuracies, QUARTILE))
        top = [i for i, accuracy in enumerate(accuracies) if accuracy >= limit]
        best, leader = max(accuracies), max(scores)
        leading = [accuracy for score, accuracy in zip(scores, accuracies, strict=True) if score == leader]
        of_best = max(score for score, accuracy in zip(scores, accuracies, strict=True) if accuracy == best)
        # its place among those that are scored alike is the middle one
        place = sum(score > of_best for score in scores) + (sum(score == of_best for score in scores) - 1) / 2
        return Ranking(
            Correlation.of(scores, accuracies),
            Correlation.of([scores[i] for i in top], [accuracies[i] for i in top]),
            place < TOP_NETWORKS if len(scores) > TOP_NETWORKS else None,
            best - fmean(leading),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def seed_ceiling(repeated: Sequence[Sequence[float]]) -> Ranking | None:
    """How well one training of each network orders them by another, with another seed.

    That is what a search would know that trained every network once, and so what a supernet is measured against: above
    it, tau with one training cannot be told from perfect (as NAS-Benchmark measures it, arXiv 1912.12522, the
    correlation of seeds). The regret is the mean of both directions.

    Args:
        repeated: per network its trained accuracies (0 to 1), one per seed; the first two count.

    Returns None if fewer than `FEWEST_RANKED` networks were trained twice.
    """
    pairs = [each[:2] for each in repeated if len(each) > 1]
    if len(pairs) < FEWEST_RANKED:
        return None
    first, second = ([each[i] for each in pairs] for i in range(2))
    found, back = Ranking.of(first, second), Ranking.of(second, first)
    return replace(found, regret=(found.regret + back.regret) / 2)


@dataclass(frozen=True)
class Gap:
    """The gap between a supernet and the networks taken out of it, all on the validation images (0 to 1).

    Attributes:
        supernet: as `supernet_accuracies` gives it: before an architecture is taken out.
        inherited: of the architecture that was taken, with inherited weights.
        retrained: of the same, trained alone.
        ranking: of all trained networks by their inherited accuracy.
        by_macs, by_depth, by_naswot: how well multiply-accumulates, the number of layers, and a score that needs no
            training, order the same networks.
        ceiling: how well a training with another seed orders those that were trained twice; None: they are too few.
    """

    supernet: dict[str, float]
    inherited: float
    retrained: float
    ranking: Ranking
    by_macs: Correlation | None
    by_depth: Correlation | None
    by_naswot: Correlation | None
    ceiling: Ranking | None = None

    @property
    def discretisation(self) -> float:
        """Accuracy lost by taking one architecture out of the supernet: of its mixture or of its sampled paths,
        whichever is better, as it was trained for one of them. Negative where nothing is lost."""
        return max(self.supernet.values()) - self.inherited

    @property
    def retraining(self) -> float:
        """Inherited minus retrained: negative where inherited weights are worse than the network's own."""
        return self.inherited - self.retrained

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"discretisation": self.discretisation, "retraining": self.retraining}


def supernet_accuracies(net: SuperNetwork, data: ImageData) -> dict[str, float]:
    """Validation accuracy (0 to 1) of a supernet as it stands, before an architecture is taken out of it.

    Of *sampled* paths, the mean of `SAMPLED_PATHS` children drawn by its probabilities, which is what DSNAS and SPOS
    train; and of the *mixture* of all candidates by its logits, which is what DARTS and SNAS train, and the search net
    of Cyclic DARTS. Each with batch-norm statistics of its own. A superkernel has no mixture: its candidates share
    weights and statistics.

    Args:
        net: on the CPU.
    """
    inherited, rng = InheritedEvaluator(net, data), random.Random(0)
    weights = [each.detach().double().tolist() for each in net.probabilities()]
    paths = [[rng.choices(range(len(each)), each)[0] for each in weights] for _ in range(SAMPLED_PATHS)]
    found = {"sampled": fmean(inherited(net.space.decode(path)).score for path in paths)}
    searched = net.search if isinstance(net, CyclicNet) else net
    if isinstance(searched, SampledNet):
        mixture = _Mixed(copy.deepcopy(searched))
        recalibrate_batch_norm(mixture, data.train_batches(epoch=0), limit=sys.maxsize)
        found["mixture"] = accuracy(mixture, data.val_batches())
    return found


class _Mixed(nn.Module):
    """A supernet in which every decision is the mixture of its candidates."""

    def __init__(self, net: SampledNet) -> None:
        super().__init__()
        self.net, self._weights = net, [each.detach() for each in net.mixture()]

    def forward(self, images: Tensor) -> Tensor:
        return mixed(self.net, images, self._weights)
