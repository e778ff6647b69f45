"""Pictures that were saved again without loss, as JPEG and in another format.

A large JPEG is decoded at a fraction of its size, which gives slightly other pixels than its copy has. Pairs that look
alike in the mean and the deviation of their colours are therefore compared at their full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from hwnas.train.image_set import ImageSet

SamePixels = Callable[[str, str], bool]
"""Whether two images, by their names, are the same picture at full size."""

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
FURTHEST = 3.0
"""Grey levels between the mean colours of two pictures that are compared."""

NEIGHBOURS = 5
MOST_COMPARED = 500
"""Pairs, the most alike first: a set in which all pictures look alike must not be decoded many times over."""


def saved_again(images: ImageSet, of: ImageSet, same: SamePixels) -> dict[int, str]:
    """By position in `images`, the name in `of` of the picture that is saved there in another format."""
    found: dict[int, str] = {}
    for at, other in _most_alike(images, of):
        if at not in found and same(images.names[at], of.names[other]):
            found[at] = of.names[other]
    return found


def saved_again_with_another_label(images: ImageSet, of: ImageSet, same: SamePixels) -> list[tuple[str, str]]:
    """The names in `images` and in `of`, which may be one set, of pictures saved in two formats and in two classes."""
    labels, of_labels = images.labels.tolist(), of.labels.tolist()
    pairs = [(at, other) for at, other in _most_alike(images, of) if labels[at] != of_labels[other]]
    names = [(images.names[at], of.names[other]) for at, other in pairs]
    if images is of:  # each pair came twice
        names = list(dict.fromkeys((min(pair), max(pair)) for pair in names))
    return [pair for pair in names if same(*pair)]


def _most_alike(images: ImageSet, of: ImageSet) -> list[tuple[int, int]]:
    """Positions in `images` and `of` of the pairs that are worth comparing at full size, the most alike first."""
    pairs = sorted(pair for mine in (True, False) for pair in _pairs(images, of, mine))
    return [(at, other) for _distance, at, other in pairs[:MOST_COMPARED]]


def _pairs(images: ImageSet, of: ImageSet, mine_are_jpeg: bool) -> Iterator[tuple[float, int, int]]:
    """(distance, position in `images`, position in `of`) of pictures that look alike; one of the two is a JPEG."""
    mine = [at for at, name in enumerate(images.names) if name.lower().endswith(JPEG) == mine_are_jpeg]
    others = [at for at, name in enumerate(of.names) if name.lower().endswith(JPEG) != mine_are_jpeg]
    if not mine or not others:
        return
    from scipy.spatial import cKDTree

    tree = cKDTree(_colours(of)[others])
    distances, nearest = tree.query(_colours(images)[mine], k=range(1, NEIGHBOURS + 1), distance_upper_bound=FURTHEST)
    for row, column in np.argwhere(np.isfinite(distances)):
        yield float(distances[row, column]), mine[row], others[nearest[row, column]]


def _colours(images: ImageSet) -> npt.NDArray[np.float64]:
    """(N, 6): the mean of each channel in grey levels, and a quarter of its deviation, which resizing changes more."""
    moments = images.sums / images.reader.resolution**2
    mean = moments[:, 0]
    deviation = np.sqrt(np.maximum(moments[:, 1] - mean**2, 0))
    return np.concatenate([mean, deviation / 4], axis=1)
