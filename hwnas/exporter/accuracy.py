"""Accuracy of exported files on labelled images, through the runtimes that an app would use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.images import LabelledPixels
from hwnas.runtimes.base import Session

Model = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Pixels (N, C, H, W) uint8 -> scores (N, classes)."""

Value = TypeVar("Value", bound=np.generic)

LEAST_AGREEMENT = 0.95
"""Trained networks in int8 give nearly every image the class that they give it in float."""

NORMAL_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Accuracy:
    """How many of the test images a model gets right, and for how many it says what the reference says."""

    right: int
    images: int
    agrees: int

    def __repr__(self) -> str:
        return f"Accuracy({self.right} of {self.images} right, {self.agrees} as the reference)"

    @property
    def share(self) -> float:
        """Share of images that are right, 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share for other images of this kind."""
        return wilson_interval(self.right, self.images)

    @property
    def agreement(self) -> float:
        """Share of images that get the reference's class, right or wrong, 0 to 1."""
        return self.agrees / self.images

    @property
    def disagrees(self) -> bool:
        """Whether it is another classifier than the reference: even on other images of this kind it would give its
        class to fewer than `LEAST_AGREEMENT`. Accuracy alone does not show that where it is low."""
        return wilson_interval(self.agrees, self.images)[1] < LEAST_AGREEMENT

    def loss_points(self, reference: Accuracy) -> float:
        """How many percentage points fewer images are right than with the reference; negative: more."""
        return 100 * (reference.right - self.right) / self.images

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.share,
            "right": self.right,
            "images": self.images,
            "interval_95": list(self.interval),
            "agrees_with_pytorch": self.agreement,
        }


def wilson_interval(count: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): it holds near 0 and 1 too."""
    z2, share = NORMAL_95**2, count / images
    centre = (count + z2 / 2) / (images + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * images)) / images)
    half *= images / (images + z2)
    return (max(0.0, centre - half), min(1.0, centre + half))


def accuracies(reference: Model, models: Mapping[str, Model], images: LabelledPixels) -> tuple[Accuracy, ...]:
    """Accuracy of the reference and then of each model, in one pass over the images.

    Raises HwnasError if there are no images.
    """
    everyone = [reference, *models.values()]
    right, agrees, count = [0] * len(everyone), [0] * len(everyone), 0
    for pixels, labels in images:
        answers = [model(pixels).argmax(1) for model in everyone]
        count += len(labels)
        for index, answer in enumerate(answers):
            right[index] += int((answer == labels).sum())
            agrees[index] += int((answer == answers[0]).sum())
    if count == 0:
        raise HwnasError("accuracy needs test images, and there are none; give images with a test split.")
    return tuple(Accuracy(*counts) for counts in zip(right, [count] * len(everyone), agrees, strict=True))


def batched(
    session: Session, prepare: Callable[[NDArray[Value]], NDArray[np.float32]]
) -> Callable[[NDArray[Value]], NDArray[np.float32]]:
    """A function that runs a file for any number of images.

    Args:
        session: The loaded file; its batch size is what runs at once, and a last batch is filled up.
        prepare: Images, pixels or anything else -> the float32 inputs of the session.
    """
    batch = session.input_shape[0]

    def run(values: NDArray[Value]) -> NDArray[np.float32]:
        inputs = prepare(values)
        missing = -len(inputs) % batch
        padded = np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]) if missing else inputs
        # a session's output is its own memory: it must be copied before the next run writes into it
        scores = [session.run(padded[start : start + batch]).copy() for start in range(0, len(padded), batch)]
        found: NDArray[np.float32] = np.concatenate(scores)[: len(inputs)]
        return found

    return run
