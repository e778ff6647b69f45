"""The images a search trains on: three splits, normalised batches, and augmentation that a resumed run repeats.

``train`` teaches weights, ``val`` is for what a search has to judge (a folder, or cut out of the training images), and
``test`` is for the final number only: none of its images is decoded before `ImageData.test_batches` is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hwnas.errors import UsageError
from hwnas.preprocessing import ANTIALIASED_BILINEAR, LARGEST_CENTRED, Preprocessing
from hwnas.train.augmentation import augmentation, augmented
from hwnas.train.data_arguments import check_arguments, checked_normalisation, default_workers, whole_numbers
from hwnas.train.division import VAL_FRACTION, LabelledImage, check_divided, drawn_shares, split_validation
from hwnas.train.duplicates import listed_duplicates, with_test
from hwnas.train.findings import DataWarning, Examples, Findings, by_folder, unequal_classes
from hwnas.train.fingerprints import data_digest, fingerprints
from hwnas.train.image_set import Channels, ImageSet, Progress, read_images
from hwnas.train.images import ImageReader
from hwnas.train.memory import available_bytes
from hwnas.train.sources import ImageSource, digits_source, folder_source

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (N, 3, H, W) float32, normalised, and labels (N) int64."""

ReadImages = Callable[[Sequence[LabelledImage]], tuple[ImageSet, dict[str, str]]]

DECODING_SHARE = 0.5
"""Of the memory that is available, what all processes together may take to decode pictures."""


def load_data(
    source: str | Path,
    resolution: int,
    *,
    batch_size: int = 64,
    val_fraction: float = VAL_FRACTION,
    seed: int = 0,
    workers: int | None = None,
    augment: str | None = None,
    limit_train: int | None = None,
    normalisation: tuple[Channels, Channels] | None = None,
    balance: float = 0.0,
    memory_share: float = 0.25,
    progress: Progress | None = None,
) -> ImageData:
    """Read the training and validation images of `source`.

    Args:
        source: ``"digits"``, or a folder: ``train/<class>/*`` with ``test/<class>/*`` and perhaps ``val/<class>/*``, or
            ``<class>/*`` alone, of which about 20 % become the test split. (A folder that is called digits:
            ``"./digits"``.)
        resolution: height and width of the images in pixels, from 8 on.
        batch_size: images in a batch.
        val_fraction: share of each class's training images that becomes the validation split, at least one image and
            never the last; 0 for none. A folder with ``val/`` has its own.
        seed: decides the validation split, the subset of `limit_train`, the order and the augmentation.
        workers: processes that decode files, 0 for none; as a rule one per CPU core, and four at most.
        augment: "photo", "flip-crop", "cutout", "crop" or "none"; as a rule "flip-crop" for folders, and "crop" for
            digits, which have no mirror images. Crops move the image by up to an eighth of `resolution`, black fills
            the border; those of "photo" keep 60 to 100 % of its area, and its colours vary. "cutout" is "flip-crop",
            and a square of half the side is cut out.
        limit_train: keep only this many training images, as equally from each class as possible; val stays whole.
        normalisation: mean and standard deviation of the channels, pixels in 0..1, that images are normalised with;
            None: those of the training images.
        balance: how far small classes are trained on as often as large ones: 0, each image equally often; 1, each class
            (0.5: as the square roots of their images). Where it is above 0, images are drawn with replacement.
        memory_share: pixels are kept in memory where they take at most this share of what is available (uint8, once
            for train and val, once for test), and are decoded anew for each batch where they take more.
        progress: called as ``progress(done, total)`` while images are read.

    Every training and validation image is decoded once, here. Warns (`DataWarning`) of what is left out, and of copies.
    Raises UsageError for an argument out of range, and HwnasError if the images cannot be learnt from: no folder, no
    classes, too few images, over 10 % broken ones.
    """
    if augment is None:
        augment = "crop" if source == "digits" else "flip-crop"
    workers = default_workers() if workers is None else workers
    check_arguments(val_fraction, augment, memory_share, balance)
    resolution, batch_size, seed, workers, limit_train = whole_numbers(
        resolution, batch_size, seed, workers, limit_train
    )
    normalisation = None if normalisation is None else checked_normalisation(normalisation)
    most_bytes = int(DECODING_SHARE * available_bytes() / max(1, workers))
    images = digits_source() if source == "digits" else folder_source(Path(source), most_bytes)
    reader = ImageReader(images.decode, resolution, workers, images.fingerprint)
    read = partial(read_images, reader=reader, memory_share=memory_share, progress=progress)
    train_images, val_images = split_validation(images.train, 0 if images.val else val_fraction, limit_train, seed)
    val_images = val_images or list(images.val)
    both, broken = read(train_images + val_images)
    train_count = sum(image.name not in broken for image in train_images)
    train, val = both.part(0, train_count), both.part(train_count, len(both))
    check_divided(images.title, images.classes, train.labels.tolist(), val_fraction > 0 and len(val) == 0)
    return ImageData(
        images,
        read,
        train,
        val,
        broken,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        normalisation=normalisation,
        balance=balance,
    )


class ImageData:
    """Batches of three splits of one set of images. Made by `load_data`.

    Attributes:
        classes: names in the order of their folders; a label is a position in them.
        resolution: height and width in pixels.
        mean, std: of each channel, pixels in 0..1; what normalises all three splits.
        splits_read: names of the splits of which images were decoded so far.
        digest: SHA-256 of the classes and of every image of the three splits: its name, its label and the bytes of its
            file. It is the same for every resolution and number of workers. What cannot be decoded is left out of it;
            the test images are hashed without being decoded.
        findings: copies, contradictions, and what is left out; each was said in a `DataWarning` when it was found.
    """

    def __init__(
        self,
        source: ImageSource,
        read: ReadImages,
        train: ImageSet,
        val: ImageSet,
        broken: dict[str, str],
        *,
        batch_size: int,
        seed: int,
        augment: str,
        normalisation: tuple[Channels, Channels] | None = None,
        balance: float = 0.0,
    ) -> None:
        self.classes = source.classes
        self.resolution = train.reader.resolution
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.mean, self.std = normalisation or train.statistics()
        self.unusual: dict[str, Any] = {} if normalisation is None else {"mean": self.mean, "std": self.std}
        """What decides batches beside images, seed and augmentation, where it is not as usual; JSON values."""
        self.unusual |= {"balance": balance} if balance else {}
        self.splits_read = {"train", "val"} if len(val) else {"train"}
        self._source = source
        self._read = read
        self._broken = broken
        self._train = train
        self._val = val
        self._test: ImageSet | None = None
        self._augmentation = augmentation(augment, self.resolution, self.mean)
        self._class_counts = np.bincount(train.labels.numpy(), minlength=len(source.classes))
        self._draw = drawn_shares(train.labels.numpy(), self._class_counts, balance) if balance else None
        listed = fingerprints(source.fingerprint, source.test, train.reader.workers)
        splits = {"train": train.fingerprints(), "val": val.fingerprints(), "test": listed}
        self.digest = data_digest(self.classes, splits)
        self._said: set[str] = set()
        self._duplicates = listed_duplicates(train, val, listed, source.same)
        self.findings = self._say_findings()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return f"ImageData({self._source.title!r}: {len(self.classes)} classes, {self.resolution} px, {counts})"

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of each image before the network sees it; an app has to do the same."""
        size = (self.resolution, self.resolution)
        return Preprocessing(self.mean, self.std, LARGEST_CENTRED, ANTIALIASED_BILINEAR, size)

    @property
    def counts(self) -> dict[str, int]:
        """Images per split; for test the files that are listed, until it is read and broken ones are known."""
        test = self._source.test if self._test is None else self._test
        return {"train": len(self._train), "val": len(self._val), "test": len(test)}

    @property
    def some_are_leaked(self) -> bool:
        """Whether some of the test images, which are read for it, are copies of what was learnt from, and some not."""
        self._read_test()
        return 0 < self.findings.leaked["test"].count < self.counts["test"]

    @property
    def skipped(self) -> dict[str, Examples]:
        """By folder, the images read so far that cannot be decoded and are left out."""
        return by_folder(self._broken)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch. Images that do not fill a last batch wait for another epoch, which mixes anew."""
        return max(1, len(self._train) // self.batch_size)

    def train_batches(
        self, epoch: int, start_step: int = 0, torch_device: str | torch.device = "cpu"
    ) -> Iterator[Batch]:
        """The shuffled and augmented batches of an epoch, from `start_step` on.

        Batch k depends on (seed, epoch, k) alone, not on the batches before it, nor on torch's global random state,
        which it leaves as it was. They are augmented, and lie, on `torch_device`: a quarter of the bytes travels there.
        Raises UsageError for a step that the epoch does not have.
        """
        if epoch < 0 or not 0 <= start_step <= self.steps_per_epoch:
            raise UsageError(
                f"epochs count from 0, and steps from 0 to {self.steps_per_epoch} with {self.counts['train']} images "
                f"in batches of {self.batch_size}; there is no step {start_step} of epoch {epoch}. A run resumes with "
                "the images and the batch size it began with."
            )
        return self._train_batches(epoch, start_step, torch.device(torch_device))

    def val_batches(self) -> Iterator[Batch]:
        """The validation split in a fixed, mixed order, not augmented; the last batch may be smaller."""
        return ((self.normalised(pixels), labels) for pixels, labels in self.pixel_batches("val"))

    def test_batches(self, leaked: bool = True) -> Iterator[Batch]:
        """The test split in a fixed, mixed order, not augmented. The first call reads its images (raises HwnasError
        if over 10 % are broken). For the final number: whatever chooses by these images has no test split left.

        Without `leaked`, the copies of images that the network learns from are left out."""
        return ((self.normalised(pixels), labels) for pixels, labels in self.pixel_batches("test", leaked))

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """The images (N, 3, H, W) of uint8 pixels, as a network takes them."""
        return self._normalised(pixels.float().div_(255))

    def check_test(self) -> None:
        """Decode every test image once and keep none, so that broken files are known before anything is trained.

        Raises HwnasError if over 10 % are broken.
        """
        if self._test is None:
            self._read(self._source.test)

    def pixel_batches(self, split: Literal["val", "test"], leaked: bool = True) -> Iterator[Batch]:
        """The images of a split as uint8 (N, 3, H, W), in the order of `val_batches` and `test_batches`; without
        `leaked`, copies of images that the network learns from are left out."""
        images = self._val if split == "val" else self._read_test()
        positions = np.arange(len(images))
        if not leaked:
            positions = np.setdiff1d(positions, list(self._duplicates.leaked[split]))
        return images.batches(
            [positions[start:][: self.batch_size] for start in range(0, len(positions), self.batch_size)]
        )

    def training_pixels(self, choose: Callable[[Sequence[int]], Sequence[int]]) -> torch.Tensor:
        """uint8 (n, 3, H, W) of the training images at the positions that `choose` makes of all their labels."""
        positions = np.array(choose(self._train.labels.tolist()), np.int64)
        ((pixels, _labels),) = self._train.batches([positions])
        return pixels

    def _train_batches(self, epoch: int, start_step: int, device: torch.device) -> Iterator[Batch]:
        count, rng = len(self._train), np.random.default_rng([self.seed, epoch])
        order = rng.permutation(count) if self._draw is None else rng.choice(count, count, p=self._draw)
        steps = range(start_step, self.steps_per_epoch)
        batches = self._train.batches([order[step * self.batch_size :][: self.batch_size] for step in steps])
        for step, (pixels, labels) in zip(steps, batches, strict=True):
            images = _moved(pixels, device).float().div_(255)
            images = augmented(images, self._augmentation, self.seed, epoch, step)
            yield self._normalised(images), _moved(labels, device)

    def _read_test(self) -> ImageSet:
        """The test split; the first call decodes its images."""
        if self._test is None:
            self.splits_read.add("test")
            self._test, broken = self._read(self._source.test)
            self._broken |= broken
            same = self._source.same
            self._duplicates = with_test(self._duplicates, self._train, self._val, self._test, same)
            self.findings = self._say_findings()
        return self._test

    def _say_findings(self) -> Findings:
        """What is known by now; what was not said yet is said in warnings."""
        findings = Findings(
            left_out={reason: Examples.of_names(names) for reason, names in self._source.left_out.items()},
            skipped=self.skipped,
            leaked={split: Examples.of(list(found.values())) for split, found in self._duplicates.leaked.items()},
            contradictory=self._duplicates.contradictory,
            nested=Examples.of_names(self._source.nested),
            untested=self._source.untested(),
            unequal=unequal_classes(self.classes, self._class_counts.tolist()),
        )
        for text in findings.warnings():
            if text not in self._said:
                self._said.add(text)
                warnings.warn(text, DataWarning, stacklevel=4)
        return findings

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (images.new_tensor(channels).view(3, 1, 1) for channels in (self.mean, self.std))
        return images.sub_(mean).div_(std)  # in place: to allocate large tensors takes time


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device; this process does not wait for a copy to a GPU."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
