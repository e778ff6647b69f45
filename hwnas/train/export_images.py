"""The images of a data set as an export needs them: some to calibrate int8 on, some to choose by, some to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from hwnas.errors import UsageError
from hwnas.exporter.images import Calibration, ExportImages, evenly_over_classes
from hwnas.preprocessing import Preprocessing
from hwnas.train.data import ImageData

CALIBRATION_IMAGES = 128
"""The extremes of activations are what is looked for: a hundred images or so have nearly all of them."""


def export_images(
    data: ImageData,
    calibration_images: int = CALIBRATION_IMAGES,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> ExportImages:
    """The images of `data` for `hwnas.export`.

    Args:
        data: From `load_data`, at the resolution of the network. Its test images are read when they are asked for.
        calibration_images: How many of the training images calibrate int8: evenly from the classes, not augmented.
        seed: Chooses them.
        preprocessing: How the network was trained to see pixels; None: with the mean and deviation of `data`.

    Raises UsageError unless there is at least one image to calibrate on.
    """
    if calibration_images < 1:
        raise UsageError(f"int8 is calibrated on at least 1 image, not {calibration_images}.")
    chosen = data.training_pixels(partial(evenly_over_classes, count=calibration_images, seed=seed))
    return ExportImages(
        preprocessing=preprocessing or data.preprocessing,
        classes=data.classes,
        calibration=Calibration(chosen.numpy(), seed),
        validation=_Split(data, "val"),
        test=_Split(data, "test"),
    )


@dataclass(frozen=True)
class _Split:
    """The batches of a split, from the start each time that they are gone through."""

    data: ImageData
    name: Literal["val", "test"]

    def __iter__(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        # copies of what the network learnt from would make every file look better than it is
        leaked = self.name != "test" or not self.data.some_are_leaked
        return ((pixels.numpy(), labels.numpy()) for pixels, labels in self.data.pixel_batches(self.name, leaked))
