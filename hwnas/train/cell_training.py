"""How networks of cells are trained by themselves: drop path, an auxiliary classifier, and DARTS's settings.

As in quark0/darts (`cnn/train.py`, `train_imagenet.py`, `model.py`; arXiv 1806.09055, appendix A.2): an edge's output
is left out for some images, the more often the later in the training; and a second classifier behind the last
reduction cell adds its loss. Neither is a part of the network that is exported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.blocks.convolutions import LayersInARow
from hwnas.blocks.two_input_cell import CellNodeBlock
from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.specs.two_input_cell import TwoInputCell
from hwnas.train.weights import WeightSettings

HIDDEN_CHANNELS, FEATURES = 128, 768
"""Of the auxiliary classifier."""


@dataclass(frozen=True)
class CellSettings(WeightSettings):
    """Hyper-parameters of the weights of a network of cells. The rest: `WeightSettings`.

    Attributes:
        auxiliary: weight of the auxiliary classifier's loss; 0: there is none.
        drop_path: how often an edge's output is left out for an image at the end of the training: linear from 0.
    """

    auxiliary: float = 0.4
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.drop_path < 1:
            raise UsageError(f"drop_path is a probability, from 0 to less than 1, not {self.drop_path:g}.")
        if not self.auxiliary >= 0:
            raise UsageError(f"auxiliary is the weight of a loss, 0 or more, not {self.auxiliary:g}.")


def published(batch_size: int = 96, imagenet: bool = False) -> CellSettings:
    """DARTS's settings for the networks that it found: 600 epochs of CIFAR-10 (augment="cutout"), or 250 of ImageNet.

    On CIFAR-10 the rate is 0.025 for batches of 96; here it goes with the square root of the batch. DARTS lowers the
    rate by 3 % an epoch on ImageNet, where this is a cosine.
    """
    at_1024 = (1024 / batch_size) ** 0.5
    if imagenet:
        return CellSettings(0.1 * at_1024, 0.0, weight_decay=3e-5, auxiliary=0.4, drop_path=0.0)
    return CellSettings(0.025 * at_1024, 0.0, weight_decay=3e-4, label_smoothing=0.0, auxiliary=0.4, drop_path=0.2)


class AuxiliaryHead(nn.Module):
    """A classifier of features (N, C, H, W) -> logits (N, classes), through 2 x 2 pixels.

    As published it pools windows of 5 pixels, from 8 x 8 pixels in steps of 3 and from 7 x 7 in steps of 2; features of
    another size are pooled to 2 x 2.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        stride = {8: 3, 7: 2}.get(side)
        pool = nn.AdaptiveAvgPool2d(2) if stride is None else nn.AvgPool2d(5, stride, count_include_pad=False)
        self.features = nn.Sequential(
            nn.ReLU(),
            pool,
            nn.Conv2d(channels, HIDDEN_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(HIDDEN_CHANNELS),
            nn.ReLU(),
            nn.Conv2d(HIDDEN_CHANNELS, FEATURES, 2, bias=False),
            nn.BatchNorm2d(FEATURES),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


class CellTraining(nn.Module):
    """Drop path and the auxiliary loss of a network of cells, in effect while it trains and until `end`.

    Args:
        net: the network.
        settings: how much of both.
        total_steps: after which `drop_path` would be reached.

    Raises UsageError if the network has no reduction cell of two inputs.
    """

    def __init__(self, net: ChildNetwork, settings: CellSettings, total_steps: int) -> None:
        super().__init__()
        blocks = net.architecture.blocks
        reductions = [k for k, spec in enumerate(blocks) if isinstance(spec, TwoInputCell) and spec.reduction]
        if not reductions:
            raise UsageError(
                "drop path and the auxiliary classifier are for networks of cells, such as those of the space 'darts'; "
                "train others with WeightSettings or FineTuningSettings."
            )
        self.settings, self.total_steps, self.rate = settings, total_steps, 0.0
        self.head: AuxiliaryHead | None = None
        self._features: Tensor | None = None
        self._hooks = [each.register_forward_hook(self._drop) for each in _edges(net) if settings.drop_path]
        if settings.auxiliary:
            outputs = [spec.output_shape(shape) for spec, shape in net.architecture.chain()]
            channels, side, _ = outputs[reductions[-1]]
            self.head = AuxiliaryHead(channels, side, outputs[-1][0])
            self._hooks.append(net.blocks[reductions[-1]].register_forward_hook(self._keep))

    def begin_step(self, step: int) -> None:
        """Set how often edges are left out: linear over the steps, as by epochs in the authors' code."""
        self.rate = self.settings.drop_path * step / self.total_steps

    def loss(self, logits: Tensor, labels: Tensor, loss: nn.Module) -> Tensor:
        """The loss of the network's logits, and its own for the same images."""
        total: Tensor = loss(logits, labels)
        if self.head is not None:
            assert self._features is not None
            total = total + self.settings.auxiliary * loss(self.head(self._features), labels)
            self._features = None
        return total

    def end(self) -> None:
        """Leave the network as it is without."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _drop(self, operator: nn.Module, _given: object, out: Tensor) -> Tensor:
        """The output of an edge: nothing for some images, more for the others, so that the mean stays."""
        if not operator.training or self.rate == 0:
            return out
        kept = torch.empty(len(out), 1, 1, 1, device=out.device, dtype=out.dtype).bernoulli_(1 - self.rate)
        return out * kept / (1 - self.rate)

    def _keep(self, block: nn.Module, _given: object, out: Tensor | tuple[Tensor, Tensor]) -> None:
        if block.training:
            self._features = out[1] if isinstance(out, tuple) else out


def trained_parts(net: nn.Module, cells: CellTraining | None) -> Iterator[tuple[str, nn.Parameter]]:
    """The weights of a network, and of its auxiliary classifier if it has one."""
    yield from net.named_parameters()
    if cells is not None:
        yield from cells.named_parameters()


def _edges(net: ChildNetwork) -> Iterator[nn.Module]:
    """The operators of all edges but those that hand on what they are given."""
    for node in net.modules():
        if isinstance(node, CellNodeBlock):
            yield from (operator for operator in node.operators if not _hands_on(operator))


def _hands_on(operator: nn.Module) -> bool:
    return isinstance(operator, LayersInARow) and not operator.names
