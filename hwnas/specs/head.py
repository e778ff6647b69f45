"""Head: the classifier of mobile networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Example, Shape, Spec, check_convolution, check_dropout, convolved


@dataclass(frozen=True)
class Head(Spec):
    """The classifier: 1x1 convolution with batch norm and activation, global average pool, dropout, linear layer.

    With ``features`` above 0, a linear layer of so many outputs and an activation stand between pool and dropout, as in
    MobileNetV3.
    """

    kind: ClassVar[str] = "head"
    module: ClassVar[str] = "hwnas.blocks.head.HeadBlock"
    in_channels: int
    hidden_channels: int
    num_classes: int
    dropout: float = 0.0
    activation: str = "relu"
    bias: bool = True
    features: int = 0

    def __post_init__(self) -> None:
        check_convolution(self, 1, 1, self.activation)
        if self.features < 0:
            raise UsageError(f"features must be 0 (no such layer) or more, not {self.features}.")
        check_dropout(self.dropout)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (Head(40, 64, 10, dropout=0.2), (40, 5, 4)),
            (Head(40, 64, 10, dropout=0.2, activation="hard_swish", features=32), (40, 5, 5)),
            (Head(8, 16, 3, bias=False), (8, 3, 3)),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.hidden_channels, 1)
        return (self.num_classes, 1, 1)

    def macs(self, input_shape: Shape) -> int:
        pixels = input_shape[1] * input_shape[2]
        classified = self.features or self.hidden_channels
        features = self.hidden_channels * self.features
        return self.hidden_channels * self.in_channels * pixels + features + classified * self.num_classes

    @property
    def params(self) -> int:
        classified = self.features or self.hidden_channels
        features = (self.hidden_channels + 1) * self.features
        return (self.in_channels + 2) * self.hidden_channels + features + (classified + self.bias) * self.num_classes

    def __str__(self) -> str:
        features = f"->{self.features}" if self.features else ""
        return f"Head({self.in_channels}->{self.hidden_channels}{features}->{self.num_classes})"
