"""The effect of each candidate on the loss, from the losses of sampled paths: a ridge regression that each step of a
search adds to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.latency.arrays import Floats
from hwnas.space import SearchSpace

MEAN_RATE = 0.05
"""How fast the running means follow: over some 20 steps."""

RIDGE = 10.0
"""Weight of "no candidate differs from another", in steps."""


class PathLosses:
    """How much each candidate adds to the training loss of the paths that it is on, by least squares.

    The loss falls as the weights learn, and the paths change as the logits do. So both loss and path are taken as
    differences from their running means, which leaves what differs between paths of the same time (the theorem of
    Frisch, Waugh and Lovell). Step t has weight t: later losses are of weights that have learnt more. Only sums are
    kept, so that a long search costs no more memory than a short one.

    Args:
        space: names the decisions.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.sizes = [len(decision.candidates) for decision in space.decisions]
        width = sum(self.sizes)
        self.count = 0
        self.mean_path, self.mean_loss = np.zeros(width), 0.0
        self.gram, self.moment = np.zeros((width, width)), np.zeros(width)

    def add(self, path: Sequence[Tensor], loss: float) -> None:
        """One step of a search.

        Args:
            path: per decision the share of each candidate: one-hot, or the weights of a mixture.
            loss: the cross-entropy of a batch. One that is not finite is left out.
        """
        if not np.isfinite(loss):
            return
        x = torch.cat([part.detach().double().cpu() for part in path]).numpy()
        if self.count == 0:
            self.mean_path, self.mean_loss = x.copy(), loss
        difference, excess = x - self.mean_path, loss - self.mean_loss
        self.count += 1
        self.gram += self.count * np.outer(difference, difference)
        self.moment += self.count * excess * difference
        self.mean_path += MEAN_RATE * difference
        self.mean_loss += MEAN_RATE * excess

    def effects(self, ridge: float = RIDGE) -> list[Floats]:
        """The amount that each candidate adds to the loss, one vector per decision: only differences within one mean
        anything."""
        steps = 2 / (self.count + 1)  # the mean weight of a step is made 1
        gram = steps * self.gram + ridge * np.eye(len(self.moment))
        return np.split(np.linalg.solve(gram, steps * self.moment), np.cumsum(self.sizes)[:-1])

    def state_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "mean_path": torch.from_numpy(self.mean_path.copy()),
            "mean_loss": self.mean_loss,
            "gram": torch.from_numpy(self.gram.copy()),
            "moment": torch.from_numpy(self.moment.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean_loss = state["count"], state["mean_loss"]
        self.mean_path, self.gram, self.moment = (state[k].numpy().copy() for k in ("mean_path", "gram", "moment"))
