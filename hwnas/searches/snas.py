"""SNAS (arXiv 1812.09926) as a baseline: all candidates run, weighted by a sample of the concrete distribution.

Hyper-parameters as SNAS-Series/SNAS-Series, `SNAS`: temperature from 1 to 0.03, weights and logits on the same batches.
Everything else (weights' training, budget, hand-over) is as in `hwnas.searches.dsnas`, so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.run import Run
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer, run_to_end
from hwnas.searches.problem import SearchProblem, SearchResult
from hwnas.supernet.mixed import mixed
from hwnas.train.loop import Progress, step_generator


@dataclass(frozen=True)
class SNASSettings(DSNASSettings):
    """As `DSNASSettings`, and the temperature of the concrete distribution, which falls linearly over the search.

    There is no ``reward`` to choose: the gradient goes through the mixture.
    """

    first_temperature: float = 1.0
    last_temperature: float = 0.03


class SNASTrainer(DSNASTrainer):
    """DSNAS's trainer with the concrete relaxation in place of its estimator."""

    settings: SNASSettings

    @property
    def temperature(self) -> float:
        share = min(1.0, self.step_count / self.search_steps)
        return self.settings.first_temperature * (1 - share) + self.settings.last_temperature * share

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        """Gradients through ``softmax((alpha + Gumbel noise) / temperature)``; after the hand-over, of one path."""
        if self.taken is not None:
            return super().estimate(images, labels, choices, z)
        generator = step_generator(self.problem.seed, self.step_count)
        weights = [concrete(alpha, self.temperature, generator) for alpha in self.net.alphas]
        loss = self.weights.loss_function(mixed(self.net, images, weights), labels)
        loss.backward()
        return loss.detach()


def concrete(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A sample of the concrete distribution (equation 4 of the paper), differentiable in the logits."""
    uniform = torch.rand(alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    gumbel = -torch.log(-torch.log(uniform)).to(alpha)
    return torch.softmax((alpha + gumbel) / temperature, 0)


def snas(
    problem: SearchProblem, run: Run, progress: Progress | None = None, settings: SNASSettings | None = None
) -> SearchResult:
    """Search with SNAS. Goes on from the run's checkpoint if there is one. Raises as `hwnas.searches.dsnas.dsnas`."""
    problem.budget.check_feasible()
    return run_to_end(SNASTrainer(problem, settings or SNASSettings()), problem, run, progress)
