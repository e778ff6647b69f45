"""A folder of images: which of its files are images of which class, and of which split.

``train/<class>/**`` and ``test/<class>/**``, with or without ``val/<class>/**``, in whatever case; or ``<class>/**``
alone. A class has all the images below its folder. What is not used is kept by reason, so that it can be said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.train.class_names import class_names
from hwnas.train.division import LabelledImage, split_test
from hwnas.train.image_files import LeftOut, files_below, image_files, loose_files, subfolders

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Names that a split's folder may have, in whatever case."""

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".zst", ".7z", ".rar")


Splits = dict[str, list[str]]
"""By split, the folders that are called so: as a rule one."""


@dataclass
class FolderListing:
    """Images by split, in the order of their names, and the names of the files that are not used, by reason."""

    classes: tuple[str, ...] = ()
    train: list[LabelledImage] = field(default_factory=list)
    val: list[LabelledImage] = field(default_factory=list)
    test: list[LabelledImage] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=dict)
    nested: list[str] = field(default_factory=list)
    """Names of the images that are used and lie deeper than in the folder of their class."""
    divided: bool = False
    """Whether the test images were cut out of images that lay in no split."""

    def leave_out(self, reason: str, names: list[str]) -> None:
        if names:
            self.left_out.setdefault(reason, []).extend(names)


def list_folder(folder: Path, only: str | None = None) -> FolderListing:
    """The images under `folder`. Where there is no split, about 20 % of each class become its test images, and at
    least one.

    With `only`, the name of a split or "all", a folder will do that lacks others which learning needs, and has few
    images; what it has of that split is `FolderListing.test` then.

    Classes are in the order of their folders' names. Raises HwnasError where there is nothing to learn.
    """
    try:
        _check_folder(folder)
        splits = _split_folders(folder)
        if only is not None and (found := _list_only(folder, only, splits)) is not None:
            return found
        if any(subfolders(folder / name) for name in splits["train"]):
            return _list_splits(folder, splits)
        return _list_one_level(folder, splits)
    except OSError as error:
        raise HwnasError(
            f"{str(error.filename or folder)!r} cannot be read: {error.strerror}. Every folder of an image data set "
            "must be readable by the user who runs hwnas; correct its permissions (chmod -R u+rX), or the path."
        ) from error


def _check_folder(folder: Path) -> None:
    """Raises HwnasError for a path that is no folder, with what to do about it."""
    if folder.is_dir():
        return
    rule, cure = f"images are read from a folder, and {str(folder)!r}", "Give a folder with one subfolder per class"
    if any(str(folder).lower().startswith(scheme) for scheme in ("http:/", "https:/", "s3:/", "gs:/", "ftp:/")):
        raise HwnasError(f"{rule} is an address. Download it, unpack it, and give the folder.")
    if folder.is_file() and folder.name.lower().endswith(ARCHIVES):
        raise HwnasError(f"{rule} is an archive. Unpack it, and give the folder that comes out.")
    found = "a file" if folder.exists() else "a link to nowhere" if folder.is_symlink() else "not there"
    raise HwnasError(f"{rule} is {found}. {cure}, or 'digits' for the embedded data set.")


def _split_folders(folder: Path) -> Splits:
    found = subfolders(folder)
    return {split: [name for name in found if name.casefold() in names] for split, names in SPLIT_NAMES.items()}


def _check_one_folder_each(folder: Path, splits: Splits) -> None:
    """Raises HwnasError if two folders are called like one split."""
    for split, folders in splits.items():
        if len(folders) > 1:
            raise HwnasError(
                f"{str(folder)!r} has {' and '.join(map(repr, folders))}, and one of them is the {split} split. Move "
                "their images together, or the folders that are no split away."
            )


def _list_splits(folder: Path, splits: Splits) -> FolderListing:
    _check_one_folder_each(folder, splits)
    train = splits["train"][0]
    if not splits["test"]:
        has_val = f" (or call {splits['val'][0]}/ test/, if it may be that)" if splits["val"] else ""
        raise HwnasError(
            f"{str(folder)!r} has {train}/ but no test/. Add test/<class>/* with images that no search may see"
            f"{has_val}, or give {str(folder / train)!r} itself: then about 20 % of its images become the test split."
        )
    listing = FolderListing()
    names = class_names(folder / train, subfolders(folder / train))
    listing.classes = tuple(names.values())
    listing.train = _list_classes(folder, train, names, listing)
    _check_classes(folder / train, names, listing)
    listing.test = _list_judging_split(folder, splits["test"][0], listing)
    if splits["val"]:
        listing.val = _list_judging_split(folder, splits["val"][0], listing)
    used = {name for found in splits.values() for name in found}
    for name in subfolders(folder):
        if name not in used:
            listing.leave_out(f"not in {train}/, but beside it", files_below(folder, name))
    return listing


def _list_only(folder: Path, wanted: str, splits: Splits) -> FolderListing | None:
    """The images of a split, or with "all" of the only one, of a folder that lacks train/ or test/; with "all" also
    those of a folder without splits. None: what learning needs is there. Raises HwnasError if the split is not."""
    present = {
        name: [own for own in folders if subfolders(folder / own) and not loose_files(folder, own)]
        for name, folders in splits.items()
    }
    found = [own for folders in present.values() for own in folders]
    if (present["train"] and present["test"]) or (not found and wanted != "all"):
        return None
    _check_one_folder_each(folder, splits)
    chosen = found if wanted == "all" else present[wanted]
    if found and len(chosen) != 1:
        named = "train/ and test/, which all its images need" if wanted == "all" else f"{wanted}/"
        raise HwnasError(
            f"{str(folder)!r} has {' and '.join(f'{own}/' for own in found)} but no {named}; add <class>/* there, or "
            "name another split."
        )
    split = chosen[0] if chosen else ""
    names = class_names(folder / split, subfolders(folder / split))
    listing = FolderListing(classes=tuple(names.values()))
    listing.test = _list_classes(folder, split, names, listing)
    if not listing.test:
        raise HwnasError(f"{str(folder / split)!r} holds no image; put images into <class>/ there.")
    return listing


def _list_judging_split(folder: Path, split: str, listing: FolderListing) -> list[LabelledImage]:
    """The images of test or val. Raises HwnasError if there are none, or if they are of classes not trained on."""
    names = class_names(folder / split, subfolders(folder / split))
    unknown = sorted(own for own, name in names.items() if name not in listing.classes)
    if unknown:
        raise HwnasError(
            f"every class of {split}/ must be one of train/, and {', '.join(map(repr, unknown))} in "
            f"{str(folder / split)!r} is not. Rename the folder, remove it, or add its training images."
        )
    images = _list_classes(folder, split, names, listing)
    if not images:
        raise HwnasError(f"{str(folder / split)!r} holds no image; put images into {split}/<class>/.")
    return images


def _list_one_level(folder: Path, splits: Splits) -> FolderListing:
    for name in (name for names in splits.values() for name in names):
        if subfolders(folder / name) and not loose_files(folder, name):
            raise HwnasError(
                f"{str(folder)!r} has {name}/ with folders in it, but no train/ with folders in it. Put the training "
                "images into train/<class>/, or rename the folder if it is a class."
            )
    listing = FolderListing()
    names = class_names(folder, subfolders(folder))
    listing.classes = tuple(names.values())
    images = _list_classes(folder, "", names, listing)
    listing.train = images
    _check_classes(folder, names, listing)
    listing.train, listing.test = split_test(images)
    listing.divided = True
    return listing


def _list_classes(folder: Path, split: str, names: dict[str, str], listing: FolderListing) -> list[LabelledImage]:
    """The images of a split's classes; those that lie beside the folders of the classes are left out."""
    listing.leave_out("in no folder of a class", loose_files(folder, split))
    images: list[LabelledImage] = []
    for own, name in names.items():
        path = f"{split}/{own}" if split else own
        files = image_files(folder, path, listing.left_out)
        listing.nested += [file for file in files if "/" in file.removeprefix(f"{path}/")]
        label = listing.classes.index(name)  # once: there may be a thousand of them
        images += [LabelledImage(file, label) for file in files]
    return images


def _check_classes(folder: Path, names: dict[str, str], listing: FolderListing) -> None:
    """Refuse what cannot be learnt: fewer than two classes, or one with fewer than two images. Raises HwnasError."""
    if len(names) < 2:
        (below,) = names or ("",)
        whole = bool(below) and bool(_split_folders(folder / below)["train"])
        cure = f"Name {folder / below}" if whole else f"Move the images into {folder}/<class>/"
        raise HwnasError(
            f"images are sorted into one subfolder per class, at least two, and {str(folder)!r} has "
            f"{f'only {next(iter(names))!r}' if names else 'no subfolder'}. {cure}."
        )
    _check_depth(folder, names, listing)
    counts = Counter(image.label for image in listing.train)
    for label, own in enumerate(names):
        if counts[label] < 2:
            raise HwnasError(
                f"a class needs at least two images, and {str(folder / own)!r} holds {counts[label]} that hwnas can "
                f"read{_left_out_below(own, listing)}. Add images, or move the folder away if it is no class."
            )


def _check_depth(folder: Path, names: dict[str, str], listing: FolderListing) -> None:
    """Raises HwnasError if the folders look like parts of a data set, each with all its classes."""
    inside = [set(subfolders(folder / own)) for own in names]
    shared = sorted(set.intersection(*inside))
    if len(shared) > 1 and not any(loose_files(folder, own) for own in names):
        raise HwnasError(
            f"each folder of {str(folder)!r} is a class, and {', '.join(map(repr, list(names)[:3]))} hold no images "
            f"but the same folders ({', '.join(map(repr, shared[:3]))}). If those are the classes, give one folder "
            "with a subfolder for each of them."
        )


def _left_out_below(own: str, listing: FolderListing) -> str:
    """The images that a class lost, in words: " (80 are left out, ...)"."""
    lost = {reason: sum(f"/{own}/" in f"/{name}" for name in files) for reason, files in listing.left_out.items()}
    said = "; ".join(f"{count} are left out, {reason}" for reason, count in lost.items() if count)
    return f" ({said})" if said else ""
