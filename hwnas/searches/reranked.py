"""The Reranked deriver: candidates by the losses and probabilities of the search, the best by inherited accuracy.

A search's own numbers say at no cost which architectures are promising: the losses of the paths that it sampled
(`hwnas.searches.path_losses`) and its probabilities. Neither says which of the promising ones is best. Their accuracy
on validation images, with inherited weights, does, at the price of some forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import CHUNK, best_networks_within, joint_gains, tilted_gains
from hwnas.run import Run
from hwnas.searches.as_measured import MeasuredBudget
from hwnas.searches.contracts import CompareBy, Deriver, Evaluation
from hwnas.searches.derivation import uses_most
from hwnas.searches.derivers import MostProbable
from hwnas.searches.evaluators import InheritedEvaluator, RecordedEvaluator, weights_digest
from hwnas.searches.problem import SearchProblem
from hwnas.searches.promising import gains_that_spend, promising_changes
from hwnas.space import Architecture
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress

FEW_IMAGES = 1024
"""Training images for the statistics, and validation images of the first round."""
FORWARDS = 1.0
"""Images that run forwards for each image that was trained on, at most: a third of the training's time."""
LEAST_NETWORKS, MOST_NETWORKS = 16, 100
"""Networks that are evaluated for a budget, however short or long the training was."""
DERIVATION_FILE = "derivation-{}-{}-images.jsonl"
"""The evaluations, by the weights and by the number of images."""
LOCAL = 1 / 3
"""Share of the evaluations that is left for the local search."""
KEPT = 2
"""One in so many of those evaluated on few images is evaluated on all."""
DEPTH = 4
"""Of so many times as many networks as are evaluated those of the smallest losses are looked at."""
MOVES = 8
"""Changes of the best architecture that are evaluated at once."""


@dataclass(frozen=True, eq=False)
class Reranked:
    """The best by inherited accuracy of the architectures within the budget that the search holds promising.

    First the candidates are evaluated on few images, and the better half of them on all (successive halving; Jamieson
    and Talwalkar, 2016). Then changes of the best one in one or two decisions are evaluated likewise, until there
    are none, or as many networks as may be are evaluated.

    Attributes:
        probable: the most probable architecture, which is always among what is evaluated on all images.
        losses: what each candidate adds to the training loss, one vector per decision; None: nobody knows.
        few: evaluates on few images.
        every: evaluates on all validation images; the same one where these are few.
        images: how many validation images there are.
        most: how many networks are evaluated on few images for a budget, at most.
        progress: called after each evaluation with (evaluations done, at most, the best accuracy); of several
            budgets more than for one are done.
        taken: what the search has derived already, for a larger budget: it is compared with the others, too.
    """

    probable: MostProbable
    losses: Sequence[Floats] | None
    few: RecordedEvaluator
    every: RecordedEvaluator
    images: int
    most: int
    progress: TrainingProgress | None = None
    taken: Architecture | None = None
    any_budget: bool = False
    regresses: bool = False
    evaluations: dict[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        measured = MeasuredBudget(problem, taken)
        if taken is None:
            roomier = measured.roomier(self.probable.within)
            self._search(roomier, self.most)
        elif taken not in self.evaluations:
            return taken
        else:
            roomier = problem.budget.reaching(taken)
        return measured.within(self._within, roomier)

    def _search(self, budget: Budget, most: int) -> None:
        """Evaluate the candidates, and changes of the best one, so many at most."""
        probable = self.probable.within(budget)
        candidates = list(islice(self._candidates(budget, probable), max(1, round((1 - LOCAL) * most))))
        self._evaluate(candidates, always=[probable] if self.taken is None else [probable, self.taken])
        left = most - len(candidates)
        while left > 0 and (changed := list(islice(self._changes(budget, self._best(budget)), min(MOVES, left)))):
            self._evaluate(changed)
            left -= len(changed)

    def _best(self, budget: Budget) -> Architecture:
        """The best of all that is evaluated on all images and within a budget: by loss, of those in the lead.

        In the lead is whose accuracy is within a standard error of the best one's (Breiman's rule of one standard
        error); of these, if there are any, only those that use most of the budget: a supernet, trained for a short
        time, holds large networks for worse than they are.
        """
        known = {each: found for each, found in self.evaluations.items() if budget.is_within(each)}
        if not known:
            return budget.surest
        best = max(found.score for found in known.values())
        least = best - math.sqrt(best * (1 - best) / self.images)
        lead = {each: found for each, found in known.items() if found.score >= least}
        large = {each: found for each, found in lead.items() if uses_most(budget, each)}
        return max(large or lead, key=lambda each: _by_loss(known[each]))

    def _within(self, budget: Budget) -> Architecture:
        """As `_best`; where nothing that is evaluated is within, as when a device measures much more than is predicted,
        a few of those that are join it."""
        best = self._best(budget)
        if best not in self.evaluations:
            self._search(budget, min(self.most, LEAST_NETWORKS))
            best = self._best(budget)
        return best if best in self.evaluations else self.probable.within(budget)

    def _evaluate(self, architectures: Sequence[Architecture], always: Sequence[Architecture] = ()) -> None:
        """On few images, and the best of them, and those of `always`, on all."""
        found = []
        for architecture in architectures:
            found.append(self.few(architecture))
            if self.progress is not None:
                best, done = max(each.score for each in self.few.evaluations.values()), len(self.few.evaluations)
                self.progress(done, max(done, self.most), {"best_val_accuracy": best})
        found.sort(key=_by_loss, reverse=True)
        every = len(found) if self.few is self.every else -(-len(found) // KEPT)
        kept = [each.architecture for each in found[:every]]
        for architecture in dict.fromkeys([*always, *kept]):
            self.evaluations[architecture] = self.every(architecture)

    def _candidates(self, budget: Budget, probable: Architecture) -> Iterator[Architecture]:
        """The most probable one, then those of the smallest losses and the most probable ones, three to one.

        By losses those that use most of the budget come first: see `_best`. Where none of those of the smallest losses
        does, they are joined by those that do.
        """
        _, costs = budget.predictor.decision_costs(budget.space)
        tilted = tilted_gains(budget, *self.probable.log_probabilities(budget))
        by_probability = iter(best_networks_within(budget, tilted, self.most))
        if self.losses is None:
            return _different(chain([probable], by_probability))
        gains = joint_gains([-loss for loss in self.losses], costs)
        smallest = best_networks_within(budget, gains, DEPTH * self.most)
        if not any(uses_most(budget, each) for each in smallest):
            smallest += best_networks_within(budget, gains_that_spend(budget, gains, costs), DEPTH * self.most)
        by_loss = iter(sorted(smallest, key=lambda each: not uses_most(budget, each)))
        mixed = zip_longest(by_loss, by_loss, by_loss, by_probability)
        return _different(chain([probable], (each for group in mixed for each in group if each is not None)))

    def _changes(self, budget: Budget, best: Architecture) -> Iterator[Architecture]:
        """The architectures within the budget that differ from the best in one or two decisions, the most promising
        first.

        What was evaluated is left out.
        """
        gains = self.probable.log_probabilities(budget)[0] if self.losses is None else [-loss for loss in self.losses]
        codes = promising_changes(budget, best, gains)
        known = {architecture.digest for architecture in self.few.evaluations}
        for begin in range(0, len(codes), CHUNK):
            changed = [budget.space.decode(code) for code in codes[begin : begin + CHUNK].tolist()]
            within = zip(changed, budget.are_within(changed), strict=True)
            for architecture in (each for each, fits in within if fits):
                if architecture.digest not in known:
                    known.add(architecture.digest)
                    yield architecture


def _by_loss(evaluation: Evaluation) -> tuple[float, float]:
    """Larger is better. The loss of some images varies less than the accuracy on them."""
    return -math.inf if evaluation.loss is None else -evaluation.loss, evaluation.score


def _different(architectures: Iterable[Architecture]) -> Iterator[Architecture]:
    """Without codes of networks that were there before."""
    seen: set[str] = set()
    for architecture in architectures:
        if architecture.digest not in seen:
            seen.add(architecture.digest)
            yield architecture


def reranked(
    problem: SearchProblem,
    probable: MostProbable,
    losses: Sequence[Floats] | None,
    run: Run | None,
    progress: TrainingProgress | None,
    taken: Architecture | None = None,
) -> Deriver:
    """The Reranked deriver of a supernet as it is now, or `probable` itself where there are no validation images.

    What was evaluated is kept in files that are named for the weights, so that a stopped search goes on behind it, and
    weights that are trained on are evaluated anew.

    Args:
        problem: that was searched.
        probable: names the net.
        losses: see `Reranked`.
        run: keeps what is evaluated; None: nothing is kept.
        progress, taken: see `Reranked`.
    """
    data, net = problem.data, probable.net
    if data.counts["val"] == 0:
        return probable
    few = InheritedEvaluator(net, data, problem.torch_device, FEW_IMAGES, FEW_IMAGES)
    every = InheritedEvaluator(net, data, problem.torch_device, FEW_IMAGES)
    most = most_networks(problem, few.images + every.images / KEPT)
    weights = weights_digest(net)
    recorded_few = recorded(few, weights, run)
    recorded_every = recorded_few if few.images == every.images else recorded(every, weights, run)
    return Reranked(probable, losses, recorded_few, recorded_every, data.counts["val"], most, progress, taken)


def recorded(
    evaluator: InheritedEvaluator, weights: str, run: Run | None, by: CompareBy = "accuracy"
) -> RecordedEvaluator:
    """With a record in the run's folder that is named for the net's weights.

    Args:
        weights: their digest.
        by: what evaluations are compared by.
    """
    folder = run.folder if run is not None and distributed.rank() == 0 else None  # the first process writes
    name = DERIVATION_FILE.format(weights[:12], evaluator.images)
    return RecordedEvaluator(evaluator, folder, name, by)


def most_networks(problem: SearchProblem, images: float) -> int:
    """How many networks are evaluated for a budget, where each takes so many images: `FORWARDS` says for how long."""
    most = int(FORWARDS * problem.epochs * problem.data.counts["train"] / images)
    return min(MOST_NETWORKS, max(LEAST_NETWORKS, most))
