"""SNAS (arXiv 1812.09926) as a baseline: all candidates run, weighted by a sample of the concrete distribution.

Hyper-parameters as SNAS-Series/SNAS-Series, `SNAS`: temperature from 1 to 0.03, weights and logits on the same batches.
All else (weights' training, budget, hand-over) is as in `hwnas.searches.sampled_path`, so that methods can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.run import Run
from hwnas.searches.deriving import search_with
from hwnas.searches.method import Method
from hwnas.searches.path_gradients import Path, gumbel
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path import SampledPathTrainer
from hwnas.searches.sampled_path_settings import SampledPathSettings, check_temperatures
from hwnas.supernet.mixed import mixed
from hwnas.train.loop import TrainingProgress, step_generator


@dataclass(frozen=True)
class SNASSettings(SampledPathSettings):
    """As `SampledPathSettings`, and the temperature of the concrete distribution, falling linearly over the search."""

    first_temperature: float = 1.0
    last_temperature: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperatures(self.first_temperature, self.last_temperature)


class SNASTrainer(SampledPathTrainer):
    """The state of a search and its step: the concrete relaxation of all paths."""

    settings: SNASSettings

    @property
    def temperature(self) -> float:
        share = self.searched_share
        return self.settings.first_temperature * (1 - share) + self.settings.last_temperature * share

    def mixture(self) -> list[Tensor]:
        """The weights of this step's mixture: ``softmax((alpha + Gumbel noise) / temperature)``; what is fixed is
        certain."""
        generator = step_generator(self.problem.seed, self.step_count)
        weights = [concrete(alpha, self.temperature, generator) for alpha in self.net.alphas]
        for decision, logits in self.fixed.items():
            weights[decision] = torch.eye(len(logits), device=weights[decision].device)[logits.index(max(logits))]
        return weights

    @torch.no_grad()
    def sample(self, again: bool = False) -> Path:
        """The mixture of this step, and the candidates of its largest weights; afterwards the derived path."""
        if self.derived is not None:
            return super().sample(again)
        weights = self.mixture()
        return [int(w.argmax()) for w in weights], weights

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        weights = self.mixture()
        with self.precision.forward():
            loss: Tensor = self.weights.loss_function(mixed(self.net, images, weights), labels)
        self.precision.backward(loss, self.net.parameters())
        return loss.detach()


def concrete(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A sample of the concrete distribution (equation 4 of the paper), differentiable in the logits."""
    return torch.softmax((alpha + gumbel(alpha, generator)) / temperature, 0)


def snas(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: SNASSettings | None = None,
) -> SearchResult:
    """Search with SNAS. Goes on from the run's checkpoint if there is one. Raises as `hwnas.searches.dsnas.dsnas`."""
    problem.budget.check_feasible()
    return search_with(SNASTrainer(problem, settings or SNASSettings()), run, progress)


SNAS = Method(
    snas,
    SNASSettings,
    summary="SNAS (arXiv 1812.09926): all candidates run, mixed; mainly to compare what that costs",
    weights="a block per candidate",
    trains="all paths, mixed",
    decides="logits, through the mixture",
    section="SNAS",
)
