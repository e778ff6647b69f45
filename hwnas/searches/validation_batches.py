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
        least: batches of fewer images, such as the last one, are left out: one image has no statistics.

    Raises:
        UsageError: the data have no validation images, or too few.
    """

    def __init__(self, problem: SearchProblem, method: str, least: int = 2) -> None:
        if problem.data.counts["val"] == 0:
            raise UsageError(f"{method} updates its logits on validation images; load the data with val_fraction > 0.")
        # as pixels, a quarter of what networks take
        self._batches = [batch for batch in problem.data.pixel_batches("val") if len(batch[1]) >= least]
        self._normalised = problem.data.normalised
        self._device = problem.torch_device
        if not self._batches:
            raise UsageError(
                f"{method} needs batches of {least} validation images or more; there are "
                f"{problem.data.counts['val']} images in batches of {problem.data.batch_size}. Load the data with a "
                "larger val_fraction or batch_size."
            )

    def __getitem__(self, number: int) -> Batch:
        pixels, labels = self._batches[number % len(self._batches)]
        images = self._normalised(pixels)
        return images.to(self._device, memory_format=torch.channels_last), labels.to(self._device)
