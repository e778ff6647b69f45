"""UniversalBottleneck: its Spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Shape, Spec, check_convolution, convolved, expanded_channels


@dataclass(frozen=True)
class UniversalBottleneck(Spec):
    """The universal inverted bottleneck of MobileNetV4 (arXiv 2404.10518, section 3).

    A depthwise convolution of ``start_kernel`` before the expansion and one of ``kernel`` behind it, each left out with
    0: an inverted bottleneck (start 0), a ConvNeXt block (kernel 0), both ("ExtraDW") or none ("FFN"). The last
    of the two has the stride. The start and the projection have no activation. The input is added where the shape
    stays the same.
    """

    kind: ClassVar[str] = "universal_bottleneck"
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

    @property
    def hidden_channels(self) -> int:
        return expanded_channels(self)

    @property
    def has_residual(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def convolutions(self) -> Iterator[tuple[str, int, int, int, int, bool]]:
        """(name, in, out, kernel, stride, depthwise) of every convolution, in order."""
        inputs, hidden = self.in_channels, self.hidden_channels
        if self.start_kernel:
            yield "start", inputs, inputs, self.start_kernel, 1 if self.kernel else self.stride, True
        yield "expand", inputs, hidden, 1, 1, False
        if self.kernel:
            yield "depthwise", hidden, hidden, self.kernel, self.stride, True
        yield "project", hidden, self.out_channels, 1, 1, False

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        total, shape = 0, input_shape
        for _, channels, out, kernel, stride, depthwise in self.convolutions():
            shape = convolved(shape, channels, out, stride)
            total += kernel**2 * (1 if depthwise else channels) * out * shape[1] * shape[2]
        return total

    @property
    def params(self) -> int:
        return sum(
            (kernel**2 * (1 if depthwise else channels) + 2) * out
            for _, channels, out, kernel, _, depthwise in self.convolutions()
        )

    def __str__(self) -> str:
        words = f"k{self.start_kernel},{self.kernel} e{self.expand:g} {self.in_channels}->{self.out_channels}"
        return f"UIB({words} s{self.stride})"
