"""The Perturbation deriver: a decision takes the candidate whose removal hurts a mixed supernet most.

DARTS-PT (arXiv 2108.04392), after ruochenwang/darts-pt, `nasbench201/projection.py` and `sota/cnn/projection.py`: a
logit says how much a candidate is scaled, not what it is worth. Its absence does. Under a budget only what can still be
completed within it is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import LEAST_LOG_PROBABILITY, most_probable_within
from hwnas.searches.as_measured import within_as_measured
from hwnas.searches.contracts import Evaluation
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.searches.problem import SearchProblem
from hwnas.searches.projection import Projection, Subject, projected
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.cell import Zero
from hwnas.supernet.mixed import mixed
from hwnas.supernet.relaxation import EdgeRelaxation, Relaxation, by_edge
from hwnas.supernet.sampled import SampledNet
from hwnas.train.evaluate import Batches

Bools = npt.NDArray[np.bool_]

NONE_COUNTS = 1e-3
"""What an edge that is left out costs a completion, of the 1 that a decision costs which is not as it was made."""


@dataclass(eq=False)
class Perturbation:
    """Projects a mixed supernet, decision by decision in random order, on one architecture within the budget.

    Attributes:
        net: trained on mixtures of its candidates.
        batches: validation images, run through again and again.
        order: of the decisions.
        exclude_none: an edge is left out only where nothing within the budget leaves out fewer.
        made: what is projected already, such as by a training that goes on in between; the rest is when it is called.
    """

    net: SampledNet
    batches: Batches
    order: Sequence[Subject]
    exclude_none: bool = True
    made: list[Projection] = field(default_factory=list)
    any_budget: bool = False
    regresses: bool = False
    evaluations: dict[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        if taken is not None:
            return taken
        while len(self.made) < len(self.order):
            self.made.append(self.project(problem.budget))
        found = within_as_measured(problem, self.within)
        self.evaluations[found] = InheritedEvaluator(self.net, problem.data, problem.torch_device)(found)
        return found

    @cached_property
    def relaxations(self) -> list[Relaxation]:
        """By the edges of nodes, also where the net's own logits are of whole nodes."""
        return [by_edge(decision).to(self.net.alphas[0].device) for decision in self.net.space.decisions]

    def within(self, budget: Budget) -> Architecture:
        """The projected architecture; within a smaller budget, the one that loses least of the accuracy that it was
        chosen for."""
        gains = [np.zeros(each.candidates) for each in self.relaxations]
        for each in self.made:
            gains[each.decision] += worth(each, self.relaxations[each.decision])
        architecture = self.net.space.decode([int(allowed.argmax()) for allowed in self.allowed()])
        return architecture if budget.is_within(architecture) else most_probable_within(budget, gains)

    def project(self, budget: Budget) -> Projection:
        """The next decision, made.

        Of a row that is kept without which the supernet is least accurate, of equal ones that of the largest loss. Of a
        node the edges are removed without which it is most accurate, until there are as many as the node may have.
        """
        subject = self.order[len(self.made)]
        decision, row = subject.decision, subject.row
        relaxation, weights = self.relaxations[decision], self.weights()[decision]
        if row is None:
            edges = range(len(relaxation.rows))
            without: list[list[float] | None] = [
                self.accuracy(decision, relaxation.decided(weights, e, 0)) for e in edges
            ]
            return Projection(decision, None, self.kept_edges(budget, decision, without), without)
        place = relaxation.rows[row]
        without = [None] * (place.stop - place.start)
        for kept in self.completable(budget, decision, row):
            without[kept] = self.accuracy(decision, relaxation.without(weights, row, kept))
        compared = {k: (accuracy, -loss) for k, (accuracy, loss) in _known(without)}
        return Projection(decision, row, min(compared, key=compared.__getitem__), without)

    def accuracy(self, decision: int, changed: Tensor) -> list[float]:
        """Accuracy and loss of the mixture as it is projected, with the weights of one decision changed."""
        weights = self.weights()
        weights[decision] = changed
        return list(mixture_accuracy(self.net, weights, self.batches, self.relaxations))

    def weights(self) -> list[Tensor]:
        """The weights of the mixture, one-hot where a decision is made."""
        weights = [share.detach() for share in self.net.mixture()]
        for place, (own, each) in enumerate(zip(self.net.relaxations, self.relaxations, strict=True)):
            if type(own) is not type(each):
                weights[place] = each.of_probabilities(weights[place])
        return projected(self.relaxations, weights, self.made)

    def allowed(self) -> list[Bools]:
        """Which candidates of each decision agree with all that is made."""
        allowed = [np.ones(each.candidates, bool) for each in self.relaxations]
        for each in self.made:
            for row, kept in each.rows.items():
                allowed[each.decision] &= self.relaxations[each.decision].agreeing(row, kept).numpy()
        return allowed

    def completable(self, budget: Budget, decision: int, row: int) -> list[int]:
        """The candidates with which some architecture within the budget agrees with all that is made.

        Of a row, that is. With `exclude_none`, those of them that leave out the fewest edges when completed.
        """
        relaxation, place = self.relaxations[decision], self.relaxations[decision].rows[row]
        size, left_out = place.stop - place.start, {}
        for kept in range(size):
            allowed = self.allowed()
            allowed[decision] &= relaxation.agreeing(row, kept).numpy()
            code = _completion(budget, allowed, self.exclude_none)
            if code is not None:
                is_none = relaxation.specs[place.start + kept] is None
                left_out[kept] = _left_out(budget.space, code) + is_none
        if not left_out:  # the search for completions is not exhaustive; what is taken is checked in the end
            possible = self.allowed()[decision]
            return [k for k in range(size) if (possible & relaxation.agreeing(row, k).numpy()).any()]
        fewest = min(left_out.values())
        return [k for k, count in left_out.items() if count == fewest or not self.exclude_none]

    def kept_edges(self, budget: Budget, decision: int, without: Sequence[list[float] | None]) -> list[int]:
        """The edges of a node that stay: those whose removal hurts most, of those that the budget leaves."""
        relaxation, allowed = self.relaxations[decision], self.allowed()
        assert isinstance(relaxation, EdgeRelaxation)
        least_worth = sorted(_known(without), key=lambda each: (-each[1][0], each[1][1]))
        edges = [edge for edge, _ in least_worth]
        while len(edges) > relaxation.edges_per_node:
            left = {edge: allowed[decision] & relaxation.agreeing(edge, 0).numpy() for edge in edges}
            possible = [edge for edge in edges if left[edge].any()]
            removed = next(
                (edge for edge in possible if self._completes(budget, allowed, decision, left[edge])), possible[0]
            )
            allowed[decision] = left[removed]
            edges.remove(removed)
        return sorted(edges)

    def _completes(self, budget: Budget, allowed: Sequence[Bools], decision: int, left: Bools) -> bool:
        changed = [left if place == decision else each for place, each in enumerate(allowed)]
        return _completion(budget, changed, self.exclude_none) is not None


def worth(made: Projection, relaxation: Relaxation) -> Floats:
    """What a projection says each candidate of its decision is worth: the accuracy that is lost without what it has.

    What was kept is worth 1 more, the largest accuracy.
    """
    most = max(found[0] for _, found in _known(made.without))
    lost = np.array([LEAST_LOG_PROBABILITY if found is None else most - found[0] for found in made.without])
    lost[made.chosen] += 1.0
    if made.row is not None:
        having = [relaxation.having(made.row, place) for place in range(len(lost))]
    else:
        assert isinstance(relaxation, EdgeRelaxation)
        having = [relaxation.with_edge(row) for row in range(len(lost))]
    found: Floats = np.sum([value * has.numpy() for value, has in zip(lost, having, strict=True)], axis=0)
    return found


@torch.no_grad()
def mixture_accuracy(
    net: SampledNet, weights: Sequence[Tensor], batches: Batches, relaxations: Sequence[Relaxation] | None = None
) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross-entropy of a mixture, with statistics of each batch, as published.

    The supernet's own statistics stay what they were. Weights are as `hwnas.supernet.mixed.mixed` takes them.
    """
    device = weights[0].device
    right, loss, count = 0, 0.0, 0
    with _statistics_kept(net):
        for images, labels in batches:
            if count and len(labels) == 1:  # the last batch: one image has no statistics
                continue
            images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
            logits = mixed(net, images, weights, relaxations)
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            count += len(labels)
    return right / count, loss / count


@contextmanager
def _statistics_kept(net: nn.Module) -> Iterator[None]:
    """Batch norms use statistics of the batch, and those that they keep are put back; nothing is dropped."""
    training, kept = net.training, [buffer.clone() for buffer in net.buffers()]
    net.train()
    for dropout in (part for part in net.modules() if isinstance(part, nn.Dropout)):
        dropout.eval()
    try:
        yield
    finally:
        net.train(training)
        for buffer, before in zip(net.buffers(), kept, strict=True):
            buffer.copy_(before)


def _known(without: Sequence[list[float] | None]) -> Iterable[tuple[int, list[float]]]:
    return ((k, found) for k, found in enumerate(without) if found is not None)


def _completion(budget: Budget, allowed: Sequence[Bools], exclude_none: bool) -> tuple[int, ...] | None:
    """A code within the budget of candidates that are allowed, which leaves out few edges; None: there is none."""
    gains = []
    for decision, agrees in zip(budget.space.decisions, allowed, strict=True):
        is_none = np.array([isinstance(spec, Zero) for spec in decision.candidates], float)
        gains.append(-NONE_COUNTS * is_none * exclude_none - ~agrees)
    found = most_probable_within(budget, gains)
    code = budget.space.indices(found)
    agree = all(agrees[index] for agrees, index in zip(allowed, code, strict=True))
    return code if agree and budget.is_within(found) else None


def _left_out(space: SearchSpace, code: Sequence[int]) -> int:
    """How many edges a code leaves out."""
    return sum(isinstance(d.candidates[k], Zero) for d, k in zip(space.decisions, code, strict=True))
