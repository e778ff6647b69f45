"""Views: what reshape, transpose, chunk and their like make of a tensor, before it is known what they add up to.

PyTorch networks write one operation as several views: a channel shuffle is a reshape to five dimensions, a transpose
and a reshape back. A View therefore keeps, for each of its elements, which element of the tensor it is. Only when an
operator reads the View does it become an operator itself: the one that moves the elements just so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Tensor


@dataclass(frozen=True, eq=False)
class View:
    """Some elements of a tensor, in some order.

    Args:
        tensor: Whose elements they are.
        index: For each element of the view, its place in the flattened tensor; has the shape of the view.
        name: Of the operator that the view may become.
    """

    tensor: Tensor
    index: NDArray[np.int32]
    name: str

    def __repr__(self) -> str:
        return f"View({self.tensor.name} {self.tensor.shape} as {self.shape})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @property
    def is_whole(self) -> bool:
        """Whether it has all elements of the tensor in their order: a mere reshape."""
        return self.index.size == math.prod(self.tensor.shape) and bool((self.index.ravel() == _places(self)).all())


@dataclass(frozen=True)
class Move:
    """The operator that a View amounts to: its kind and fields."""

    kind: Any
    fields: dict[str, Any]


def viewed(source: Tensor | View, name: str, change: Callable[[NDArray[np.int32]], NDArray[np.int32]]) -> View:
    """`source` after a change that only moves elements, stated on an array of its shape."""
    if isinstance(source, View):
        return View(source.tensor, change(source.index), name)
    places = np.arange(math.prod(source.shape), dtype=np.int32).reshape(source.shape)
    return View(source, change(places), name)


def as_moves(view: View) -> list[Move]:
    """The operators that make the view of its tensor, one after the other; none if there are none that do."""
    whole, shape = view.tensor.shape, view.shape
    if view.index.size == 0:
        return []
    if len(whole) == len(shape):
        one = _slice(view) or _channel_shuffle(view)
        return [one] if one else _every_other_channel(view) or _gather(view)
    if view.is_whole and whole[0] == shape[0]:
        if len(shape) == 2 and len(whole) == 4:
            return [Move("flatten", {})]
        if len(shape) == 4 and len(whole) == 2:
            return [Move("unflatten", {})]
    return []


def _places(view: View) -> NDArray[np.int32]:
    return np.arange(math.prod(view.tensor.shape), dtype=np.int32)


def _slice(view: View) -> Move | None:
    whole = view.tensor.shape
    begin = tuple(int(i) for i in np.unravel_index(view.index.flat[0], whole))
    window = tuple(slice(first, first + size) for first, size in zip(begin, view.shape, strict=True))
    expected = _places(view).reshape(whole)[window]
    return Move("slice", {"begin": begin}) if np.array_equal(expected, view.index) else None


def _channel_shuffle(view: View) -> Move | None:
    if view.shape != view.tensor.shape:
        return None
    channels, order = view.shape[1], _channels(view)
    if order is None:
        return None
    # after a shuffle, channel 1 is the first of the second group
    size = int(order[1]) if channels > 1 else 0
    if size == 0 or channels % size:
        return None
    groups = channels // size
    shuffled = np.arange(channels).reshape(groups, -1).T.ravel()
    return Move("channel_shuffle", {"groups": groups}) if np.array_equal(shuffled, order) else None


def _every_other_channel(view: View) -> list[Move]:
    """Channels at equal steps lie side by side after a shuffle; ShuffleNetV2's own code takes its halves like this."""
    order = _channels(view)
    if order is None or len(order) < 2:
        return []
    whole, first, step = view.tensor.shape[1], int(order[0]), int(order[1] - order[0])
    if step < 2 or whole % step or not np.array_equal(order, np.arange(first, whole, step)[: len(order)]):
        return []
    groups = whole // step
    begin = (0, first % step * groups + first // step, 0, 0)
    return [Move("channel_shuffle", {"groups": groups}), Move("slice", {"begin": begin})]


def _gather(view: View) -> list[Move]:
    """Any places of each axis, in any order: strides, flips, repetitions."""
    whole = view.tensor.shape
    if view.shape[0] != whole[0]:
        return []
    places = []
    for axis in range(len(whole)):
        first = tuple(slice(None) if other == axis else 0 for other in range(len(whole)))
        places.append(np.unravel_index(view.index[first], whole)[axis])
    if not np.array_equal(_places(view).reshape(whole)[np.ix_(*places)], view.index):
        return []
    return [Move("gather", {"indices": gathered(whole, places)})]


def gathered(
    shape: tuple[int, ...], places: Sequence[Sequence[int] | NDArray[np.int32]]
) -> tuple[tuple[int, ...] | None, ...]:
    """`Operator.indices` of a gather that takes these places of each axis of a tensor of `shape`."""
    whole = [tuple(int(place) for place in axis) for axis in places]
    return tuple(None if axis == tuple(range(size)) else axis for size, axis in zip(shape, whole, strict=True))


def _channels(view: View) -> NDArray[np.int32] | None:
    """Which channels of its tensor the view has; None if it has anything but whole channels."""
    whole = view.tensor.shape
    if len(whole) != 4 or (whole[0], *whole[2:]) != (view.shape[0], *view.shape[2:]):
        return None
    order = view.index[0, :, 0, 0] // math.prod(whole[2:])
    return order if np.array_equal(_places(view).reshape(whole)[:, order], view.index) else None
