"""Training a child by itself: the retrain baseline, and what inherited accuracies are compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from hwnas.child import ChildNetwork
from hwnas.run import Run
from hwnas.space import Architecture
from hwnas.train import distributed
from hwnas.train.cell_training import CellSettings, CellTraining, trained_parts
from hwnas.train.compiling import compiled
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy
from hwnas.train.finetuning import FineTuning, FineTuningSettings
from hwnas.train.loop import TrainingProgress, seeded, train
from hwnas.train.mixed_precision import Amp, MixedPrecision
from hwnas.train.optim import exponential_moving_average
from hwnas.train.weights import WeightSettings, WeightTraining


class ChildTrainer:
    """The state of a child's training and its step."""

    def __init__(
        self,
        architecture: Architecture,
        data: ImageData,
        epochs: int,
        seed: int = 0,
        torch_device: str = "cpu",
        settings: WeightSettings | FineTuningSettings | None = None,
        start: ChildNetwork | None = None,
        amp: Amp = "off",
        compile: bool = False,
    ) -> None:
        self.step_count, self.total_steps = 0, epochs * data.steps_per_epoch
        self.seed, self.torch_device = seed, torch_device
        self.precision = MixedPrecision(torch_device, amp)
        with seeded(seed):
            net = ChildNetwork(architecture) if start is None else copy.deepcopy(start)
        self.net: ChildNetwork = net.to(torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run = compiled(self.net) if compile else self.net
        settings = settings or WeightSettings()
        self.cells: CellTraining | None = None
        """What a network of cells is trained with and is exported without."""
        if isinstance(settings, CellSettings):
            with seeded(seed):
                self.cells = CellTraining(self.net, settings, self.total_steps).to(torch_device)
        named = list(trained_parts(self.net, self.cells))
        self._trained = [parameter for _, parameter in named]
        self.average: AveragedModel | None = None
        """Follows the weights where they are fine-tuned: what the training gives."""
        self.weights: WeightTraining | FineTuning
        self._loss: Callable[[Tensor, Tensor], Tensor]
        if isinstance(settings, FineTuningSettings):
            head_lr = 1.0 if start is None else settings.head_lr
            self.weights = FineTuning(named, settings, self.total_steps, head_lr, self.precision)
            self._loss = settings.loss
            self.average = exponential_moving_average(self.net, settings.ema)
        else:
            self.weights = WeightTraining(named, settings, self.total_steps, data.batch_size, self.precision)
            self._loss = self.weights.loss_function
            if self.cells is not None:
                self._loss = partial(self.cells.loss, loss=self.weights.loss_function)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights. Returns its figures."""
        images = images.to(self.torch_device, memory_format=torch.channels_last)
        buffers = list(self.net.buffers())
        kept = self.precision.kept(buffers)
        if self.cells is not None:
            self.cells.begin_step(self.step_count)
        with seeded(self.seed, self.step_count), self.precision.forward():
            loss = self._loss(self._run(images), labels.to(self.torch_device))
        self.precision.backward(loss, self._trained)
        modules = (self.net,) if self.cells is None else (self.net, self.cells)
        distributed.average(
            (each for module in modules for each in module.parameters()),
            (each for module in modules for each in module.buffers()),
        )
        moved = self.weights.step()
        if not moved:  # what has overflowed is in the statistics, too, which would never forget it
            for buffer, before in zip(buffers, kept, strict=True):
                buffer.copy_(before)
        if self.average is not None and moved:
            self.average.update_parameters(self.net)
        self.step_count += 1
        return {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        state = {"step": self.step_count, "net": self.net.state_dict(), "weights": self.weights.state_dict()}
        if self.cells is not None:
            state["cells"] = self.cells.state_dict()
        return state if self.average is None else state | {"average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count = state["step"]
        self.net.load_state_dict(state["net"])
        self.weights.load_state_dict(state["weights"])
        if self.cells is not None:
            self.cells.load_state_dict(state["cells"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def trained(self) -> ChildNetwork:
        """The network as it is trained by now, on the CPU, in evaluation mode."""
        if self.cells is not None:
            self.cells.end()
        net: ChildNetwork = self.net if self.average is None else self.average.module  # type: ignore[assignment]
        return net.cpu().eval()


def train_child(
    architecture: Architecture,
    data: ImageData,
    run: Run,
    epochs: int,
    seed: int = 0,
    progress: TrainingProgress | None = None,
    torch_device: str = "cpu",
    settings: WeightSettings | FineTuningSettings | None = None,
    start: ChildNetwork | None = None,
    amp: Amp = "off",
    compile: bool = False,
) -> ChildNetwork:
    """Train a child by itself, with the optimiser and schedule that the searches use.

    Goes on from the run's checkpoint if there is one. Raises HwnasError if that is damaged, or the disk is full.

    Args:
        architecture: for images of the data's resolution and with as many classes.
        data: only its training split is used.
        run: where to log and to keep checkpoints.
        epochs: passes over the training split; the learning rate ends at 0.
        settings: how; the classes of settings name optimiser and schedule.
        start: the same architecture with weights to begin with, such as pretrained ones; None: random weights.
        amp: what its forward passes compute in: see `hwnas.train.mixed_precision`.
        compile: whether torch compiles the network first; not for `CellSettings`, whose edges are left out at random.
    """
    trainer = ChildTrainer(architecture, data, epochs, seed, torch_device, settings, start, amp, compile)
    train(trainer, data, run, progress)
    return trainer.trained()


def trained_accuracy(architecture: Architecture, data: ImageData, run: Run, epochs: int, seed: int = 0) -> float:
    """Validation accuracy (0 to 1) of a child trained by itself."""
    return accuracy(train_child(architecture, data, run, epochs, seed), data.val_batches())
