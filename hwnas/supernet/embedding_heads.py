"""The embedding heads of Cyclic DARTS: logits from inside a network, by which two networks are compared at every level.

After microsoft/Cream, `CDARTS/lib/models/aux_head.py` (`DistillHeadCIFAR`) and `cdarts_controller.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from hwnas.space import SearchSpace
from hwnas.specs.spec import Shape
from hwnas.supernet.cell import run_node
from hwnas.supernet.choice import Selections
from hwnas.supernet.network import ChoiceNet

MOST_HEADS = 2
"""As published: after the first and the second of three stages."""
WINDOW = 6
"""Of the average pool, where the state is large enough."""
HEAD_CHANNELS = (128, 768)
"""As published: after the 1x1 and after the 2x2 convolution."""


class EmbeddingHead(nn.Module):
    """Logits (N, num_classes) of a state (N, C, H, W) inside a network. Its batch norms have no weights.

    Args:
        shape: of the state. As published, the pool reduces 8 pixels to 2; less than 8 are reduced to 2 as well, which
            the 2x2 convolution needs, and less than 2 are taken as they are.
        num_classes: of the network.
    """

    def __init__(self, shape: Shape, num_classes: int) -> None:
        super().__init__()
        channels, side = shape[0], min(shape[1:])
        first, second = HEAD_CHANNELS
        pool = nn.AvgPool2d(max(1, min(WINDOW, side - 2)), stride=2) if side > 2 else nn.Identity()
        self.features = nn.Sequential(
            nn.ReLU(),
            pool,
            nn.Conv2d(channels, first, 1, bias=False),
            nn.BatchNorm2d(first, affine=False),
            nn.ReLU(),
            nn.Conv2d(first, second, min(2, side), bias=False),
            nn.BatchNorm2d(second, affine=False),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(second, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def level_ends(space: SearchSpace) -> list[tuple[int, Shape]]:
    """Where the heads are: behind the last two nodes that make the state smaller, with the shape there.

    That is the end of the first and of the second stage in a network of three, the reduction included. Stem and
    classifier do not count: what is before the first decision is shared, and what is behind the last one has logits.
    """
    positions = list(space.positions())
    shapes = [*(shape for _, shape in positions[1:]), None]
    first = shared_nodes(space)
    found = [
        (place, after)
        for place, ((_, before), after) in enumerate(zip(positions, shapes, strict=True))
        if place >= first and after is not None and after[1] * after[2] < before[1] * before[2]
    ]
    return found[-MOST_HEADS:]


def shared_nodes(space: SearchSpace) -> int:
    """How many nodes stand before the first decision: the stem, which both networks of a cycle share."""
    decided = space.decode([0] * len(space.decisions)).blocks
    return next(place for place, node in enumerate(space.nodes) if node != decided[place])


class EmbeddingHeads(nn.ModuleList):
    """The heads that the search net and the evaluation net of a cycle share.

    Args:
        shapes: of the states that they read.
        num_classes: of both.
    """

    def __init__(self, shapes: Iterable[Shape], num_classes: int) -> None:
        super().__init__(EmbeddingHead(shape, num_classes) for shape in shapes)

    def levels(self, net: ChoiceNet, x: Tensor, selections: Selections, places: Sequence[int]) -> list[Tensor]:
        """The logits of every level, (N, num_classes) each, those of the classifier last.

        Args:
            net: whose nodes run.
            x: images (N, C, H, W).
            selections: how.
            places: of the nodes behind which the heads stand.
        """
        found: list[Tensor] = []
        for place, node in enumerate(net.nodes):
            x = run_node(node, x, selections)
            if place in places:
                state = x[-1] if isinstance(x, tuple) else x  # a cell of two inputs hands on its own state last
                found.append(self[len(found)](state))
        return [*found, x]
