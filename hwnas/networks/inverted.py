"""The parts that networks of inverted residuals share: stages of MBConv blocks."""

from __future__ import annotations

from hwnas.spaces.widths import scaled
from hwnas.specs.mbconv import MBConv

Stage = tuple[int, int, int, int, int]
"""Kernel, expansion, output channels, blocks, stride of the first block."""


def stages(
    channels: int, rows: tuple[Stage, ...], width: float, activation: str, padding: str = "symmetric"
) -> list[MBConv]:
    """The blocks of some stages, the first of which takes `channels`."""
    blocks = []
    for kernel, expand, base, repeats, first_stride in rows:
        out = scaled(base, width)
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            blocks.append(MBConv(channels, out, kernel, expand, stride, activation, padding=padding))
            channels = out
    return blocks
