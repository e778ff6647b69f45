"""UniversalBottleneck: the block of MobileNetV4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.convolutions import Convolution, InvertedBottleneck, depthwise
from hwnas.specs.spec import Example, check_convolution, expanded_channels


@dataclass(frozen=True)
class UniversalBottleneck(InvertedBottleneck):
    """The universal inverted bottleneck of MobileNetV4 (arXiv 2404.10518, section 3).

    A depthwise convolution of ``start_kernel`` before the expansion and one of ``kernel`` behind it, each left out with
    0: an inverted bottleneck (start 0), a ConvNeXt block (kernel 0), both ("ExtraDW") or none ("FFN"). The last
    of the two has the stride. The start and the projection have no activation. The input is added where the shape
    stays the same.
    """

    kind: ClassVar[str] = "universal_bottleneck"
    module: ClassVar[str] = "hwnas.blocks.universal_bottleneck.UniversalBottleneckBlock"
    in_channels: int
    out_channels: int
    start_kernel: int
    kernel: int
    expand: float
    stride: int = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        for kernel in (self.start_kernel, self.kernel):
            if kernel:
                check_convolution(self, kernel, self.stride, self.activation)
        check_convolution(self, 1, self.stride, self.activation)
        if self.stride == 2 and not (self.start_kernel or self.kernel):
            raise UsageError(
                "a universal bottleneck of stride 2 needs a depthwise convolution: start_kernel or kernel."
            )
        expanded_channels(self)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (UniversalBottleneck(16, 24, start_kernel=5, kernel=5, expand=3, stride=2), (16, 9, 9)),
            (UniversalBottleneck(16, 24, start_kernel=3, kernel=0, expand=4, stride=2), (16, 9, 8)),
            (UniversalBottleneck(16, 16, start_kernel=0, kernel=3, expand=2), (16, 9, 9)),
            (UniversalBottleneck(16, 16, start_kernel=0, kernel=0, expand=2), (16, 9, 9)),
        )

    def layers(self) -> Iterator[Convolution]:
        inputs, hidden, activation = self.in_channels, self.hidden_channels, self.activation
        if self.start_kernel:
            yield depthwise("start", inputs, self.start_kernel, 1 if self.kernel else self.stride, None)
        yield Convolution("expand", inputs, hidden, activation=activation)
        if self.kernel:
            yield depthwise("depthwise", hidden, self.kernel, self.stride, activation)
        yield Convolution("project", hidden, self.out_channels)

    def __str__(self) -> str:
        words = f"k{self.start_kernel},{self.kernel} e{self.expand:g} {self.in_channels}->{self.out_channels}"
        return f"UIB({words} s{self.stride})"
