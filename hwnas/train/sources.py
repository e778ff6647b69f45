"""Where images come from: folders with one subfolder per class, or the digits that scikit-learn carries.

A source lists names and labels and knows how to decode one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.train.division import LabelledImage, mixed, split_test
from hwnas.train.fingerprints import array_fingerprint, file_fingerprint
from hwnas.train.image_folder import list_folder
from hwnas.train.images import Pixels, decode_array, decode_file, same_pixels


@dataclass(frozen=True)
class ImageSource:
    """Names and labels of the splits, and ``decode(name, resolution, crop=...)``: uint8 pixels (3, H, W), as
    `hwnas.train.images.decode_file` gives them.

    ``train`` is in the order of names; ``test`` and ``val`` are mixed, so that any stretch of them holds all classes.
    ``val`` is empty where validation images are to be cut out of ``train``. ``left_out`` names, by reason, the files
    that are not used, ``nested`` the images that lie in a subfolder of their class. ``fingerprint(name)`` is the
    SHA-256 of what is stored of an image, ``same(name, other)`` whether two are one picture at full size. ``decode``
    can be sent to another process; it raises `hwnas.train.images.BrokenImageError`.
    """

    title: str
    classes: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    test: tuple[LabelledImage, ...]
    decode: Callable[..., npt.NDArray[np.uint8]]
    fingerprint: Callable[[str], bytes]
    same: Callable[[str, str], bool]
    val: tuple[LabelledImage, ...] = ()
    left_out: Mapping[str, list[str]] = field(default_factory=dict)
    nested: tuple[str, ...] = ()
    divided: bool = False
    """Whether ``test`` was cut out of images that lay in no split."""

    def untested(self) -> tuple[str, ...]:
        """The classes without a test image."""
        present = {image.label for image in self.test}
        return tuple(name for label, name in enumerate(self.classes) if label not in present)


def folder_source(folder: Path, most_bytes: int | None = None, only: str | None = None) -> ImageSource:
    """The images under `folder`; see `hwnas.train.image_folder`. Raises HwnasError where there is nothing to learn.

    With `only`, the name of a split or "all", others may be missing, and ``test`` is that split if they are.

    Pictures that take more than `most_bytes` of memory to decode count as broken.
    """
    with suppress(RuntimeError):  # there is no such ~user; it is said of the whole path that it is not there
        folder = folder.expanduser()
    found, title = list_folder(folder, only), str(folder)
    folder = folder.absolute()  # files are read later, wherever this process is by then
    return ImageSource(
        title=title,
        classes=found.classes,
        train=tuple(found.train),
        test=tuple(mixed(found.test)),
        decode=partial(decode_file, folder, most_bytes=most_bytes),
        fingerprint=partial(file_fingerprint, folder),
        same=_remembered(partial(same_pixels, folder, most_bytes=most_bytes)),
        val=tuple(mixed(found.val)),
        left_out=found.left_out,
        nested=tuple(found.nested),
        divided=found.divided,
    )


def _remembered(same: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    """It decodes both pictures at full size, and is asked about the same two by several splits."""
    known: dict[tuple[str, str], bool] = {}

    def ask(name: str, other: str) -> bool:
        pair = (min(name, other), max(name, other))
        if pair not in known:
            known[pair] = same(name, other)
        return known[pair]

    return ask


def _same_array(arrays: Mapping[str, Pixels], name: str, other: str) -> bool:
    return np.array_equal(arrays[name], arrays[other])


def digits_source() -> ImageSource:
    """The 1,797 handwritten digits of scikit-learn (8x8, grey, ten classes), split as a one-level folder is.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """
    package = find_spec("sklearn")  # not its load_digits: to load scikit-learn takes seconds
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    rows = np.loadtxt(file, delimiter=",")
    grey = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    arrays = {f"{int(label)}/{index:04d}": grey[index] for index, label in enumerate(rows[:, -1])}
    train, test = split_test(LabelledImage(name, int(name[0])) for name in arrays)
    return ImageSource(
        title="digits",
        classes=tuple(map(str, range(10))),
        train=tuple(train),
        test=tuple(mixed(test)),
        decode=partial(decode_array, arrays),
        fingerprint=partial(array_fingerprint, arrays),
        same=partial(_same_array, arrays),
        divided=True,
    )
