"""The Perturbation deriver: a decision takes the candidate whose removal hurts a mixed supernet most.

DARTS-PT (arXiv 2108.04392), after ruochenwang/darts-pt, `nasbench201/projection.py`: a logit says how much a candidate
is scaled, not what it is worth. Its absence does. Under a budget only what can still be completed within it is
compared.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import LEAST_LOG_PROBABILITY, most_probable_within
from hwnas.searches.contracts import Evaluation
from hwnas.searches.derivers import within_as_measured
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.cell import Zero
from hwnas.supernet.mixed import mixed
from hwnas.supernet.sampled import SampledNet
from hwnas.train.evaluate import Batches

NONE_COUNTS = 1e-3
"""What an edge that is left out costs a completion, of the 1 that a decision costs which is not as it was made."""


@dataclass(frozen=True)
class Projection:
    """One decision that was made by perturbation.

    Attributes:
        decision: its index.
        chosen: the candidate that was kept.
        without: accuracy and loss of the supernet without each candidate; None: it was not compared, since nothing
            within the budget completes it, or it leaves out the edge and need not.
    """

    decision: int
    chosen: int
    without: list[list[float] | None]

    def gains(self) -> Floats:
        """The worth of each candidate: the accuracy that is lost without it; the chosen one is worth most."""
        known = [-found[0] if found is not None else LEAST_LOG_PROBABILITY for found in self.without]
        known[self.chosen] = max(known) + 1.0
        return np.array(known)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


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
    order: Sequence[int]
    exclude_none: bool = True
    made: list[Projection] = field(default_factory=list)
    any_budget: bool = False
    evaluations: dict[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        if taken is not None:
            return taken
        while len(self.made) < len(self.order):
            self.made.append(self.project(problem.budget))
        found = within_as_measured(problem, self.within)
        self.evaluations[found] = InheritedEvaluator(self.net, problem.data, problem.torch_device)(found)
        return found

    def within(self, budget: Budget) -> Architecture:
        """The projected architecture; within a smaller budget, the one that loses least of the accuracy that it was
        chosen for."""
        gains = {each.decision: each.gains() for each in self.made}
        architecture = self.net.space.decode([int(gains[d].argmax()) for d in range(len(gains))])
        if budget.is_within(architecture):
            return architecture
        return most_probable_within(budget, [gains[d] for d in range(len(gains))])

    def project(self, budget: Budget) -> Projection:
        """The next decision, made.

        The candidate is kept without which the supernet is least accurate, of equal ones that of the largest loss.
        """
        decision = self.order[len(self.made)]
        weights = self.weights()
        without: list[list[float] | None] = [None] * len(weights[decision])
        for candidate in self.completable(budget, decision):
            removed = list(weights)
            removed[decision] = weights[decision].index_fill(0, torch.tensor([candidate]).to(weights[0].device), 0.0)
            without[candidate] = list(mixture_accuracy(self.net, removed, self.batches))
        compared = {k: (accuracy, -loss) for k, (accuracy, loss) in _known(without)}
        return Projection(decision, min(compared, key=compared.__getitem__), without)

    def weights(self) -> list[Tensor]:
        """The weights of the mixture, one-hot where a decision is made."""
        weights = [share.detach() for share in self.net.probabilities()]
        for each in self.made:
            weights[each.decision] = torch.eye(len(weights[each.decision])).to(weights[each.decision])[each.chosen]
        return weights

    def completable(self, budget: Budget, decision: int) -> list[int]:
        """The candidates with which some architecture within the budget agrees with all that is made.

        With `exclude_none`, those of them that leave out the fewest edges when completed.
        """
        made = {each.decision: each.chosen for each in self.made}
        size = len(self.net.space.decisions[decision].candidates)
        found = {k: _completion(budget, made | {decision: k}, self.exclude_none) for k in range(size)}
        left_out = {k: _left_out(budget.space, code) for k, code in found.items() if code is not None}
        if not left_out:  # the search for completions is not exhaustive; what is taken is checked in the end
            return list(range(size))
        fewest = min(left_out.values())
        return [k for k, count in left_out.items() if count == fewest or not self.exclude_none]


def projection_order(seed: int, decisions: int) -> list[int]:
    """The random order in which decisions are made."""
    return random.Random(seed).sample(range(decisions), decisions)


@torch.no_grad()
def mixture_accuracy(net: SampledNet, weights: Sequence[Tensor], batches: Batches) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross-entropy of a mixture, with statistics of each batch, as published.

    The supernet's own statistics stay what they were.
    """
    device = weights[0].device
    right, loss, count = 0, 0.0, 0
    with _statistics_kept(net):
        for images, labels in batches:
            images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
            logits = mixed(net, images, weights)
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            count += len(labels)
    return right / count, loss / count


@contextmanager
def _statistics_kept(net: nn.Module) -> Iterator[None]:
    """Batch norms use statistics of the batch, and those that they keep are put back."""
    training, kept = net.training, [buffer.clone() for buffer in net.buffers()]
    net.train()
    try:
        yield
    finally:
        net.train(training)
        for buffer, before in zip(net.buffers(), kept, strict=True):
            buffer.copy_(before)


def _known(without: Sequence[list[float] | None]) -> Iterable[tuple[int, list[float]]]:
    return ((k, found) for k, found in enumerate(without) if found is not None)


def _completion(budget: Budget, made: Mapping[int, int], exclude_none: bool) -> tuple[int, ...] | None:
    """A code within the budget that agrees with what is made, and leaves out few edges; None: there is none."""
    gains = []
    for number, decision in enumerate(budget.space.decisions):
        is_none = np.array([isinstance(spec, Zero) for spec in decision.candidates], float)
        other = np.arange(len(decision.candidates)) != made.get(number, -1)
        gains.append(-NONE_COUNTS * is_none * exclude_none - (other if number in made else 0.0))
    found = most_probable_within(budget, gains)
    code = budget.space.indices(found)
    agrees = all(code[number] == index for number, index in made.items())
    return code if agrees and budget.is_within(found) else None


def _left_out(space: SearchSpace, code: Sequence[int]) -> int:
    """How many edges a code leaves out."""
    return sum(isinstance(d.candidates[k], Zero) for d, k in zip(space.decisions, code, strict=True))
