"""int8 of any format: its settings, and the Quantizer that makes the files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Operator


@dataclass(frozen=True)
class Int8Settings:
    """How int8 files are made.

    Args:
        pixel_input: Whether the network's input is pixels in 0..255, which 8 bits hold exactly.
        reduce_range: In .onnx files, round weights to 7 bits instead of 8. x86 processors without VNNI add up products
            of 8 bits in 16 bits, which overflow; those of 7 bits cannot. ARM and newer x86 processors need no care.
        integer_ends: Input and output are integers too, as those of a block inside an int8 network are.
    """

    pixel_input: bool = False
    reduce_range: bool = True
    integer_ends: bool = False


class Quantizer(Protocol):
    """Makes int8 files of one float32 file."""

    def quantized(self, keep_float: Collection[Operator] = ()) -> bytes:
        """The int8 file, in which the operators of `keep_float` compute in float32."""
        ...


def in_batches(images: NDArray[np.float32], batch: int) -> list[NDArray[np.float32]]:
    """`images` (count, ...) as batches of exactly `batch`; the first ones fill up the last."""
    count = -(-len(images) // batch) * batch
    filled = np.concatenate([images] + [images] * (count // len(images)))[:count]
    return [filled[start : start + batch] for start in range(0, count, batch)]
