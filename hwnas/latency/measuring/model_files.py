"""The model files that a campaign measures: blocks and whole networks with random weights, in one precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hwnas.exporter.precision import get_precision
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.tables.table import Block
from hwnas.space import Architecture
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Shape, Spec

REFERENCE = (MBConv(32, 32, kernel=3, expand=6), (32, 28, 28))
"""The block that witnesses drift in every campaign, in float32 whatever is measured, so that tables of one device can
be compared by it."""

SMALL_BYTES = 2**20
"""A float32 file up to here is kept: a thousand of them need a gigabyte of disk, which larger ones would multiply."""


@dataclass(frozen=True)
class ModelFiles:
    """Model files of one format and precision.

    Attributes:
        format: as `hwnas.exporter.formats` knows it.
        precision: as `hwnas.exporter.precision` knows it.
        folder: An empty one. To make a file takes longer than to measure a small network, and to round one much longer,
            so that small files and all int8 files are kept here for the next repetition of the same model.
    """

    format: str
    precision: str
    folder: Path

    def of_block(self, key: str, block: Block) -> bytes:
        """The file of a block, which `key` names."""
        return self._kept(key, lambda: block_model(*block, self.format, self.precision))

    def of_network(self, architecture: Architecture) -> bytes:
        """The file of a whole network."""
        return self._kept(architecture.digest, lambda: network_model(architecture, self.format, self.precision))

    def _kept(self, key: str, make: Callable[[], bytes]) -> bytes:
        path = self.folder / key
        if path.exists():
            return path.read_bytes()
        data = make()
        if get_precision(self.precision).needs_images or len(data) <= SMALL_BYTES:
            half = path.with_suffix(".part")  # a full disk leaves no half of a file to be measured
            half.write_bytes(data)
            half.replace(path)
        return data


def check_can_make(format: str, precision: str) -> None:
    """Raise HwnasError, with the cure, if files of a precision cannot be made here: a package is missing."""
    if precision != USUAL_PRECISION:
        block_model(*REFERENCE, format, precision)


def network_model(architecture: Architecture, format: str, precision: str = USUAL_PRECISION) -> bytes:
    """A whole network with random weights as a model file; int8 is calibrated with random images."""
    from hwnas.child import build_child
    from hwnas.exporter.export import convert
    from hwnas.random_state import own_random_state

    with own_random_state():
        return convert(build_child(architecture), (1, *architecture.input_shape), format, precision)


def block_model(spec: Spec, input_shape: Shape, format: str, precision: str = USUAL_PRECISION) -> bytes:
    """A block with random weights as a model file; in int8 its ends are integers, as inside a network."""
    from hwnas.blocks import build_block  # torch takes a second to load, which `hwnas bench` does without
    from hwnas.exporter.export import convert
    from hwnas.random_state import own_random_state

    with own_random_state():
        return convert(build_block(spec), (1, *input_shape), format, precision, integer_ends=True)


def reference_model(format: str) -> bytes:
    """The reference model of every campaign, and of a later measurement that is compared with one.

    It is a file of the package. Made anew, its random weights would differ in the last digits from one processor to
    another, and journals and baselines know the reference by its hash; and `hwnas bench` would wait for torch.
    """
    return (Path(__file__).parent / f"reference.{format}").read_bytes()


def make_reference_model(format: str) -> bytes:
    """Make the file that `reference_model` reads: another one makes all earlier tables and baselines incomparable."""
    from hwnas.random_state import own_random_state

    with own_random_state(0):
        return block_model(*REFERENCE, format)
