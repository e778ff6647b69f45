"""How good children are with the weights they inherit: what one-shot searches choose by, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hwnas.child import ChildNetwork
from hwnas.space import Architecture
from hwnas.train.data import ImageData
from hwnas.train.evaluate import Batches, accuracy, recalibrate_batch_norm

RECALIBRATION_IMAGES = 4096
"""Statistics of so many training images: as many as 16 batches of 256, however small the batches are."""


class Inherits(Protocol):
    """A SuperNetwork, as far as its children are concerned."""

    def inherit(self, architecture: Architecture) -> ChildNetwork: ...


class InheritedAccuracy:
    """Validation accuracy (0 to 1) of children with inherited weights and batch-norm statistics of their own.

    All children are judged by the same images: the same training batches recalibrate each, the validation split, cut
    out of the training images, scores it. Test images are never read.
    """

    def __init__(self, net: Inherits, data: ImageData, torch_device: str = "cpu") -> None:
        self._net = net
        self._device = torch_device
        batches = math.ceil(RECALIBRATION_IMAGES / data.batch_size)
        self._recalibration = _channels_last(islice(data.train_batches(epoch=0), batches))
        self._validation = _channels_last(data.val_batches())

    def __call__(self, architecture: Architecture) -> float:
        child = self._net.inherit(architecture)
        child = child.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate_batch_norm(child, self._recalibration)
        return accuracy(child, self._validation)


def _channels_last(batches: Batches) -> list[tuple[Tensor, Tensor]]:
    """Batches in the layout that convolutions are twice as fast in."""
    return [(images.contiguous(memory_format=torch.channels_last), labels) for images, labels in batches]


@dataclass(frozen=True)
class InheritanceGap:
    """Accuracies (0 to 1) of the same children with inherited weights and trained alone."""

    architectures: tuple[Architecture, ...]
    inherited: tuple[float, ...]
    alone: tuple[float, ...]

    @property
    def mean_gap(self) -> float:
        """How much better children are when trained alone, on average; positive as a rule."""
        return float(np.mean(np.subtract(self.alone, self.inherited)))

    @property
    def kendall_tau(self) -> float:
        """Rank agreement of the two, from -1 to 1: what choosing by inherited accuracy is worth."""
        from scipy.stats import kendalltau

        return float(kendalltau(self.inherited, self.alone).statistic)


def inheritance_gap(
    architectures: Sequence[Architecture],
    inherited: Callable[[Architecture], float],
    alone: Callable[[Architecture], float],
) -> InheritanceGap:
    """Judge children in both ways.

    Args:
        architectures: distinct networks, 10 or more for a rank correlation that means something.
        inherited: as a rule an `InheritedAccuracy`.
        alone: accuracy of a child trained by itself, such as `hwnas.train.child.trained_accuracy`, or a published one.
    """
    return InheritanceGap(tuple(architectures), tuple(map(inherited, architectures)), tuple(map(alone, architectures)))
