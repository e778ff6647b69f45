"""Fine-tuning with fake quantisation: a trained network gets used to the rounding of its int8 file.

The loss is of what the file computes (`hwnas.exporter.fake_int8`), with labels and the answers of the network as it was
in float as its teacher. Batch-norm statistics stay as they are, as in the file. The ranges of activations are taken
anew at the beginning of each epoch, on the images that calibrate an export, in the way that an export takes them.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from hwnas.child import ChildNetwork
from hwnas.errors import HwnasError
from hwnas.exporter.fake_int8 import FakeInt8
from hwnas.run import Run
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.export_images import export_images
from hwnas.train.finetuning import FineTuning, FineTuningSettings
from hwnas.train.loop import TrainingProgress, train

SETTINGS = FineTuningSettings(lr=2e-4, head_lr=1.0, weight_decay=0.0, label_smoothing=0.0, distillation=0.5)


class NotFineTunable(HwnasError):
    """A network with an operator, or an order of layers, that `FakeInt8` does not know."""


class Int8FineTuner:
    """The state of a fine-tuning and its step, on the CPU. Raises NotFineTunable."""

    def __init__(
        self, child: ChildNetwork, data: ImageData, format: str, epochs: int, settings: FineTuningSettings
    ) -> None:
        self.step_count, self.total_steps = 0, epochs * data.steps_per_epoch
        self.net = copy.deepcopy(child).cpu().eval()
        self._teacher = copy.deepcopy(self.net)
        self._steps_per_epoch, self._settings = data.steps_per_epoch, settings
        images = export_images(data)
        calibration = torch.from_numpy(images.preprocessing.normalised(images.calibration.pixels))
        try:
            self._fake = FakeInt8(self.net, (1, *child.architecture.input_shape), format, calibration)
        except HwnasError as error:
            raise NotFineTunable(str(error)) from None
        self._weights = FineTuning(self.net.named_parameters(), settings, self.total_steps, settings.head_lr)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights. Returns its figures."""
        if self.step_count % self._steps_per_epoch == 0:
            self._fake.calibrate()
        with torch.no_grad():
            teacher = self._teacher(images)
        loss = self._settings.loss(self._fake(images), labels, teacher)
        torch.autograd.backward(loss)
        distributed.average(self.net.parameters(), self.net.buffers())
        self._weights.step()
        self.step_count += 1
        return {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        ranges = {name: list(found) for name, found in self._fake.ranges.items()}
        state = {"step": self.step_count, "net": self.net.state_dict(), "weights": self._weights.state_dict()}
        return state | {"ranges": ranges}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count = state["step"]
        self.net.load_state_dict(state["net"])
        self._weights.load_state_dict(state["weights"])
        self._fake.ranges = {name: (low, high) for name, (low, high) in state["ranges"].items()}


def fine_tune_for_int8(
    child: ChildNetwork,
    data: ImageData,
    format: str,
    run: Run,
    epochs: int,
    progress: TrainingProgress | None = None,
    settings: FineTuningSettings = SETTINGS,
) -> ChildNetwork:
    """A copy of a trained network whose weights suit its int8 file. Goes on from the run's checkpoint if there is one.

    Args:
        child: trained in float; left as it is.
        data: at its resolution; only its training split is used.
        format: of the int8 file: ``tflite`` or ``onnx``.
        run: where to log and to keep checkpoints.
        epochs: passes over the training split.

    Raises NotFineTunable, and HwnasError for a damaged checkpoint, or a full disk.
    """
    tuner = Int8FineTuner(child, data, format, epochs, settings)
    train(tuner, data, run, progress)
    return tuner.net.eval()
