"""What views amount to: the operator that moves the elements of a tensor just so, or none."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.exporter.graph.graph import Tensor
from hwnas.exporter.graph.views import View, as_moves, viewed

IMAGE = Tensor("image", (1, 6, 2, 3))
FEATURES = Tensor("features", (2, 24))


def shuffled(index: np.ndarray, groups: int) -> np.ndarray:
    batch, channels, height, width = index.shape
    split = index.reshape(batch, groups, channels // groups, height, width)
    return split.swapaxes(1, 2).reshape(index.shape)


@pytest.mark.parametrize(
    ("tensor", "change", "kind", "fields"),
    [
        (IMAGE, lambda index: index.reshape(1, -1), "flatten", {}),
        (IMAGE, lambda index: index[:, 2:4], "slice", {"begin": (0, 2, 0, 0)}),
        (IMAGE, lambda index: index[:, :, 1:, :2], "slice", {"begin": (0, 0, 1, 0)}),
        (IMAGE, lambda index: shuffled(index, 2), "channel_shuffle", {"groups": 2}),
        (IMAGE, lambda index: shuffled(index, 3), "channel_shuffle", {"groups": 3}),
        (FEATURES, lambda index: index.reshape(2, 6, 2, 2), "unflatten", {}),
        (FEATURES, lambda index: index[:, 5:], "slice", {"begin": (0, 5)}),
        (IMAGE, lambda index: index[:, ::5], "gather", {"indices": (None, (0, 5), None, None)}),
        (IMAGE, lambda index: index[..., ::-1, ::2], "gather", {"indices": (None, None, (1, 0), (0, 2))}),
        (IMAGE, lambda index: index[:, [1, 0, 0]], "gather", {"indices": (None, (1, 0, 0), None, None)}),
    ],
)
def test_views_that_are_one_operator(tensor: Tensor, change, kind: str, fields: dict) -> None:
    (move,) = as_moves(viewed(tensor, "view", change))
    assert (move.kind, move.fields) == (kind, fields)


@pytest.mark.parametrize(("first", "step", "begin"), [(0, 2, 0), (1, 2, 3), (2, 3, 4), (3, 2, 4)])
def test_every_other_channel_is_a_slice_of_a_shuffle(first: int, step: int, begin: int) -> None:
    shuffle, part = as_moves(viewed(IMAGE, "view", lambda index: index[:, first::step]))
    assert (shuffle.kind, shuffle.fields) == ("channel_shuffle", {"groups": 6 // step})
    assert (part.kind, part.fields) == ("slice", {"begin": (0, begin, 0, 0)})


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.swapaxes(2, 3),
        lambda index: index.transpose(0, 2, 3, 1).reshape(1, -1),
        lambda index: index.reshape(6, -1),
        lambda index: index[:, :0],
    ],
)
def test_views_that_are_none(change) -> None:
    assert as_moves(viewed(IMAGE, "view", change)) == []


def test_views_of_views_are_views_of_the_tensor() -> None:
    there = viewed(IMAGE, "there", lambda index: index.transpose(0, 2, 3, 1))
    back = viewed(there, "back", lambda index: index.transpose(0, 3, 1, 2))
    assert isinstance(back, View)
    assert (back.tensor, back.shape, back.is_whole) == (IMAGE, IMAGE.shape, True)
    assert not there.is_whole
