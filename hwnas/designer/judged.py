"""The network whose accuracy counts for a design: the file that the budget is for, as it answers in an app.

In float32 that is the network itself, and export has checked that the file is the same. A rounded file is another
classifier than the network it was made of, so that it is made, and run, wherever one network is judged against another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.child import ChildNetwork
from hwnas.exporter.accuracy import batched
from hwnas.exporter.export import ExportOptions, convert
from hwnas.exporter.exported import ExportedModel
from hwnas.exporter.formats import get_format
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.runtimes import get_runtime
from hwnas.train.data import ImageData
from hwnas.train.export_images import export_images


class FileNetwork(nn.Module):
    """A model file in the place of the network it was made of: images (N, C, H, W) in, logits (N, classes) out."""

    def __init__(self, file: bytes, format: str) -> None:
        super().__init__()
        self._run = batched(get_runtime(get_format(format).runtime).load(file), _as_they_are)
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # tells callers that it computes on the CPU

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self._run(images.numpy()))


def judged_network(child: ChildNetwork, data: ImageData, format: str, precision: str) -> nn.Module:
    """The child, or its file in another precision than float32, made as a design exports it.

    Args:
        child: trained.
        data: at its resolution; training images of it calibrate int8.
        format, precision: of the file.
    """
    if precision == USUAL_PRECISION:
        return child
    images = export_images(data)
    calibration = images.preprocessing.normalised(images.calibration.pixels)
    file = convert(child, (1, *child.architecture.input_shape), format, precision, calibration)
    return FileNetwork(file, format)


def hint_of_loss(models: Sequence[ExportedModel], precision: str) -> str | None:
    """A note on a file that the budget is for and that loses more by rounding than an export's limit.

    Its layers are not kept in float by themselves: that takes more ms, and the budget was searched for without.
    """
    most = ExportOptions().max_loss
    lossy = [model for model in models if model.precision == precision and (model.loss_points or 0.0) > most]
    if not lossy or precision != "int8":  # what computes in float32 loses next to nothing
        return None
    worst = max(model.loss_points or 0.0 for model in lossy)
    return (
        f"int8 gets {worst:.1f} points fewer test images right than float32 does, and more than {most:g} is "
        "much. No layer was kept in float for that, since it takes more ms: `hwnas export RUN --precision int8 "
        "--int8-repair` makes such a file, and `hwnas bench` says whether it is within the budget."
    )


def _as_they_are(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return inputs
