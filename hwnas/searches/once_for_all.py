"""Once-for-All (arXiv 1908.09791): the largest network first, then smaller ones that learn from it; then the best one.

The largest network is fine-tuned, from pretrained weights if there are some. Then networks within the budget, which
are parts of it, are sampled uniformly and trained to give its answers (equation 3, and distillation as in section 3.3;
mit-han-lab/once-for-all, `progressive_shrinking.py`). The architecture is derived by inherited accuracy, and its part
of the weights is trained on in the same way.

Where we differ: kernels, depths and widths shrink together from the start, since only networks near the budget are
trained, not 10^19 ones; a smaller kernel is the centre of the larger one without the learnt transform; the resolution
is one for all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.latency.sampling import UniformWithin
from hwnas.run import Run
from hwnas.searches.contracts import Deriver
from hwnas.searches.derivers import Derive, MostProbable
from hwnas.searches.deriving import DerivingTrainer, search_with
from hwnas.searches.method import Method
from hwnas.searches.path_losses import PathLosses
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.supernet.start import largest_architecture, start_from
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train import distributed
from hwnas.train.finetuning import FineTuning, FineTuningSettings
from hwnas.train.loop import CHECKPOINT_SECONDS, TrainingProgress, seeded, step_generator
from hwnas.train.optim import exponential_moving_average
from hwnas.train.phases import phase_ends

LARGEST, SHRINKING, FINISHING = "training of the largest network", "search", "training of the derived architecture"
"""The phases."""

PATHS = 512
"""Networks within the budget that are sampled before the shrinking; each step trains one of them."""

TEMPERATURE = 0.02
"""Of the probabilities: a candidate that adds so much to the loss is e times less likely."""


@dataclass(frozen=True)
class OnceForAllSettings(FineTuningSettings):
    """Hyper-parameters. Those of the weights: `FineTuningSettings`.

    Attributes:
        largest: share of the steps in which the largest network is trained.
        search: share of the steps after which the architecture is derived and its part of the weights trained on.
        derive: ``reranked``, the best by inherited accuracy of what the losses hold promising; ``probable``: by the
            losses alone; or ``regression``: by what candidates add to the inherited losses of random networks.
    """

    largest: float = 0.15
    search: float = 0.4
    derive: Derive = "reranked"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.largest < self.search <= 1:
            raise UsageError(
                "largest and search are shares of the steps, 0 <= largest < search <= 1, not "
                f"largest={self.largest:g}, search={self.search:g}: smaller networks are trained between them."
            )
        if self.derive not in get_args(Derive):
            raise UsageError(f"derive must be one of {', '.join(get_args(Derive))}, not {self.derive!r}.")


class _ByLosses(SuperKernelNet):
    """A SuperKernelNet whose probabilities follow from the losses that its paths had."""

    losses: PathLosses

    def probabilities(self) -> list[Tensor]:
        return [torch.softmax(-torch.from_numpy(effect) / TEMPERATURE, 0) for effect in self.losses.effects()]


class OnceForAllTrainer(DerivingTrainer):
    """The state of a search and its step. Everything that decides the next step is in `state_dict`."""

    def __init__(self, problem: SearchProblem, settings: OnceForAllSettings) -> None:
        super().__init__(problem, settings.checkpoint_seconds)
        self.settings = settings
        space = problem.budget.space
        self.total_steps = problem.epochs * problem.data.steps_per_epoch
        ends = {LARGEST: settings.largest, SHRINKING: settings.search, FINISHING: 1.0}
        self.ends = phase_ends(self.total_steps, ends, given_up=(FINISHING, LARGEST))
        self.step_count = 0
        with seeded(problem.seed):
            net = _ByLosses(space)
        if problem.start is not None:
            start_from(net, problem.start)
        self.net: _ByLosses = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.losses = PathLosses(space)
        self.largest = list(space.indices(largest_architecture(space)))
        self.teacher: ChildNetwork | None = None
        self.average: AveragedModel | None = None
        """Follows the weights while the derived architecture is trained."""
        draw, rng = UniformWithin(problem.budget), random.Random(f"{SHRINKING} {problem.seed}")
        self.paths = [list(space.indices(draw(rng))) for _ in range(min(PATHS, self.total_steps))]
        self.phase = ""
        self.tuning: FineTuning
        self._enter()

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights. Returns its figures."""
        self._enter()
        device = self.problem.torch_device
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        path = self._path()
        with seeded(self.problem.seed, self.step_count), self.precision.forward():
            logits = self.net.run_path(images, path)
            answers = None
            if self.teacher is not None:
                with torch.no_grad():
                    answers = self.teacher(images)
            loss = self.settings.loss(logits, labels, answers)
        self.precision.backward(loss, self.net.parameters())
        if self.phase == SHRINKING:
            self.net.losses.add(_one_hot(self.net, path), float(loss.detach()))
        distributed.average((p for _, p in self.net.weights()), self.net.buffers())
        self.tuning.step()
        if self.average is not None:
            self.average.update_parameters(self.net)
        self.step_count += 1
        return {"loss": float(loss.detach())}

    def _path(self) -> list[int]:
        """The path that this step trains."""
        if self.phase == LARGEST:
            return self.largest
        if self.derived is not None:
            return self.derived
        generator = step_generator(self.problem.seed, self.step_count)
        return self.paths[int(torch.randint(len(self.paths), (), generator=generator))]

    def _enter(self) -> None:
        """Begin the phase of this step if it is another one than the last step's."""
        phase = next((name for name, end in self.ends.items() if self.step_count < end), FINISHING)
        if phase == self.phase:
            return
        if phase != LARGEST and self.teacher is None and self.ends[LARGEST]:
            self.teacher = self._largest_child()
        if phase == FINISHING and self.derived is None:
            self.derive()
        self.phase, self.tuning = phase, self._tuning(phase)
        if phase == FINISHING:
            self.average = exponential_moving_average(self.net, self.settings.ema)

    def _tuning(self, phase: str) -> FineTuning:
        names = list(self.ends)
        before = self.ends[names[names.index(phase) - 1]] if phase != names[0] else 0
        steps = max(1, self.ends[phase] - before)
        first = next(name for name in names if self.ends[name])
        head_lr = self.settings.head_lr if phase == first else 1.0
        return FineTuning(self.net.weights(), self.settings, steps, head_lr, self.precision)

    def _largest_child(self) -> ChildNetwork:
        child = self.net.inherit(self.problem.budget.space.decode(self.largest))
        child.to(self.problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return child.eval()

    def deriver(self) -> Deriver:
        """The deriver of the net as it is now."""
        probable = MostProbable(self.net)
        return self.by_evaluations(self.settings.derive, probable, self.net.losses.effects())

    @property
    def derived_from(self) -> SuperKernelNet:
        """The net, averaged since the derived architecture is trained."""
        return self.net if self.average is None else self.average.module  # type: ignore[return-value]

    def further_deriver(self) -> Deriver | None:
        """The same one, unless the derived architecture was trained on since, which no other one was: then the losses
        alone decide, which the averaged net holds, too."""
        return self.deriver() if self.average is None else None

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            "phase": self.phase,
            **self.derived_state(),
            "net": self.net.state_dict(),
            "teacher": None if self.teacher is None else self.teacher.state_dict(),
            "tuning": self.tuning.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "path_losses": self.net.losses.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count = state["step"]
        self.load_derived(state)
        self.net.load_state_dict(state["net"])
        self.net.losses.load_state_dict(state["path_losses"])
        if state["teacher"] is not None:
            self.teacher = self._largest_child()
            self.teacher.load_state_dict(state["teacher"])
        self.phase = state["phase"]
        self.tuning = self._tuning(self.phase)
        self.tuning.load_state_dict(state["tuning"])
        if state["average"] is not None:
            self.average = exponential_moving_average(self.net, self.settings.ema)
            self.average.load_state_dict(state["average"])


def _one_hot(net: SuperKernelNet, path: list[int]) -> list[Tensor]:
    sizes = [len(decision.candidates) for decision in net.space.decisions]
    return [torch.eye(size)[index] for size, index in zip(sizes, path, strict=True)]


def once_for_all(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: OnceForAllSettings | None = None,
) -> SearchResult:
    """Search with Once-for-All. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises:
        UsageError: the space is not nested, or the problem starts from weights of another network.
        HwnasError: the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    settings = settings or OnceForAllSettings()
    problem.budget.check_feasible()
    return search_with(OnceForAllTrainer(problem, settings), run, progress)


ONCE_FOR_ALL = Method(
    once_for_all,
    OnceForAllSettings,
    summary="Once-for-All (arXiv 1908.09791): smaller networks learn from the largest, which may be a pretrained one",
    weights="one largest block per decision",
    trains="the largest network, then parts of it",
    decides="inherited accuracy, and the losses of paths",
    section="Once-for-All",
)
