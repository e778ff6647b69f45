"""The validation batches in turn, for methods whose logits learn from images that the weights do not see."""

from __future__ import annotations

import torch

from hwnas.errors import UsageError
from hwnas.searches.problem import SearchProblem
from hwnas.train.data import Batch


class ValidationBatches:
    """The validation batches in turn, for methods whose logits learn from images that the weights do not see.

    Args:
        problem: of the search.
        method: its name, for the message.

    Raises:
        UsageError: the data have no validation images.
    """

    def __init__(self, problem: SearchProblem, method: str) -> None:
        if problem.data.counts["val"] == 0:
            raise UsageError(f"{method} updates its logits on validation images; load the data with val_fraction > 0.")
        self._batches, self._device = list(problem.data.val_batches()), problem.torch_device

    def __getitem__(self, number: int) -> Batch:
        images, labels = self._batches[number % len(self._batches)]
        return images.to(self._device, memory_format=torch.channels_last), labels.to(self._device)
