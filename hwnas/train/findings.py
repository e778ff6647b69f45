"""The Findings in a set of images that its figures depend on: copies, contradictions, images that are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

EXAMPLES = 3
UNEQUAL = 3
"""How many times as many training images a class must have as another for that to be said."""


class DataWarning(UserWarning):
    """Something about the images that changes what a figure means; training goes on."""


@dataclass(frozen=True)
class Examples:
    """How many there are of something, and the first few, in words."""

    count: int
    first: tuple[str, ...]

    @staticmethod
    def of(texts: Sequence[str]) -> Examples:
        return Examples(len(texts), tuple(texts[:EXAMPLES]))

    @staticmethod
    def of_names(names: Sequence[str]) -> Examples:
        return Examples.of([repr(name) for name in sorted(names)])

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        return ", ".join(self.first) + (", ..." if self.count > len(self.first) else "")


@dataclass(frozen=True)
class Findings:
    """Copies, contradictions and faults in a set of images.

    Attributes:
        left_out: by reason, files that are not used.
        skipped: by folder, images that cannot be decoded.
        leaked: by split ("val", "test"), images that are copies of what was trained on; the files are equal, or the
            pixels at the resolution of the network. For "test", images that the search judged by count as well.
        contradictory: pictures that are, pixel by pixel or saved in another format, in more than one class.
        nested: images in subfolders of the folder of their class; they are used.
        untested: classes without a test image.
        unequal: the smallest and the largest class, where that has `UNEQUAL` times as many training images or more.
    """

    left_out: dict[str, Examples] = field(default_factory=dict)
    skipped: dict[str, Examples] = field(default_factory=dict)
    leaked: dict[str, Examples] = field(default_factory=dict)
    contradictory: Examples = Examples(0, ())
    nested: Examples = Examples(0, ())
    untested: tuple[str, ...] = ()
    unequal: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def warnings(self) -> tuple[str, ...]:
        """One sentence or two for each thing that was found."""
        said = [f"Left out: {_files(found)}, {reason}: {found}." for reason, found in self.left_out.items()]
        said += [
            f"Left out: {_files(found)} of {folder!r}, which cannot be decoded: {found}."
            for folder, found in self.skipped.items()
        ]
        if self.nested:
            said.append(f"Used, although in subfolders of the folder of a class: {_files(self.nested)}: {self.nested}.")
        if val := self.leaked.get("val"):
            said.append(
                f"Copies of training images among the validation images: {val.count} ({val}). The search judges by "
                "them too well; remove one of each pair."
            )
        if test := self.leaked.get("test"):
            said.append(
                f"Copies of training or validation images among the test images: {test.count} ({test}). The accuracy "
                "is too good by them, and is stated without them as well; remove one of each pair."
            )
        if self.contradictory:
            said.append(
                f"Pictures that are in more than one class: {self.contradictory.count} ({self.contradictory}). No "
                "network can get both right; keep one of each."
            )
        if self.untested:
            said.append(f"No test image is of class {', '.join(map(repr, self.untested))}: its accuracy is not known.")
        if self.unequal:
            said.append(
                f"The classes are unequal: {self.unequal}. Networks learn the small ones less well; --balance 0.5 "
                "trains on their images more often."
            )
        return tuple(said)


def _files(found: Examples) -> str:
    return f"{found.count} file{'' if found.count == 1 else 's'}"


def by_folder(broken: Mapping[str, str]) -> dict[str, Examples]:
    """Count the `broken` images (name to reason) of each folder."""
    folders: dict[str, list[str]] = {}
    for name, text in zip(broken, described(broken), strict=True):
        folders.setdefault(printable(name.rpartition("/")[0]), []).append(text)
    return {folder: Examples.of(texts) for folder, texts in folders.items()}


def described(broken: Mapping[str, str]) -> list[str]:
    """One text per image: its name and the reason."""
    return [f"{name!r} ({printable(reason)})" for name, reason in broken.items()]


def printable(name: str) -> str:
    """A file's name as it can be printed and saved as UTF-8: what cannot is escaped."""
    return name if name.isprintable() else repr(name)[1:-1]


def _images(count: int) -> str:
    return f"{count} training image{'' if count == 1 else 's'}"


def unequal_classes(classes: Sequence[str], counts: Sequence[int]) -> str:
    """The smallest and the largest class with their training images; empty where they are near enough to each other."""
    by_count = sorted(zip(counts, classes, strict=True))
    (least, smallest), (most, largest) = by_count[0], by_count[-1]
    return f"{smallest!r} has {_images(least)}, {largest!r} {most}" if most >= UNEQUAL * least else ""
