"""The accuracy of model files on a folder of images, as an app would have it: from image files to classes.

Each image is decoded with Pillow, cut, resized and normalised as the model says, and classified in LiteRT or ONNX
Runtime. No network in PyTorch takes part, so this is what a person gets who follows the model's card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.accuracy import wilson_interval
from hwnas.exporter.classification import classify
from hwnas.exporter.model_input import ModelInput, model_input
from hwnas.preprocessing import Crop
from hwnas.progress import silent
from hwnas.runtimes import get_runtime
from hwnas.train.data_arguments import default_workers
from hwnas.train.division import LabelledImage
from hwnas.train.image_set import Progress, check_broken
from hwnas.train.images import ImageReader, Pixels
from hwnas.train.output_classes import output_classes
from hwnas.train.split_images import Split, check_split, images_of, shown_names, source_of

IMAGES_PER_READ, IMAGES_PER_RUN, BYTES_PER_RUN = 32, 512, 256 * 2**20
"""Images that are decoded at once, and that a runtime is started for; the bytes of their pixels at most."""


@dataclass(frozen=True)
class ModelAccuracy:
    """How many images of a split a model file gets right.

    Args:
        model: The file.
        runtime: ``litert`` or ``onnxruntime``, that ran it.
        split: Of the folder.
        right: By class, how many images of it are given its name.
        images: By class, how many there are.
        input: What the file takes.
        notes: What was assumed of the file, and what is to be known of the images.
    """

    model: Path
    runtime: str
    split: Split
    right: dict[str, int]
    images: dict[str, int]
    input: ModelInput
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        right, images = sum(self.right.values()), sum(self.images.values())
        return f"ModelAccuracy({self.model.name}: {right} of {images} images right, {self.runtime})"

    @property
    def accuracy(self) -> float:
        """Share of images that are right, 0 to 1."""
        return sum(self.right.values()) / sum(self.images.values())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share for other images of this kind (Wilson)."""
        return wilson_interval(sum(self.right.values()), sum(self.images.values()))

    def to_json(self) -> dict[str, Any]:
        """``accuracy``, ``images``, ``runtime``, and what stands behind them."""
        return {
            "accuracy": self.accuracy,
            "images": sum(self.images.values()),
            "runtime": self.runtime,
            "runtime_version": get_runtime(self.runtime).version(),
            "model": str(self.model),
            "split": self.split,
            "right": sum(self.right.values()),
            "interval_95": list(self.interval),
            "classes": {
                name: {"images": count, "right": self.right[name], "accuracy": self.right[name] / count}
                for name, count in self.images.items()
            },
            "preprocessing": self.input.preprocessing.to_json(),
            "notes": list(self.notes),
        }


def accuracy(
    model: Path | str,
    data: Path | str,
    split: Split = "test",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: bool | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    progress: Progress = silent,
) -> ModelAccuracy:
    """Share of the images of a split that a model file, whoever wrote it, gives the name of their folder.

    Args:
        model: A .tflite or .onnx that takes one image and gives one number per class.
        data: A folder of images, as `load_data` takes it, or ``"digits"``. A folder without ``test/`` is divided as
            `design` does it; one that has nothing but ``test/`` will do.
        split: ``test``, ``val``, ``train`` or ``all``.
        mean: Of pixels from 0 to 1, instead of what the file says: (pixel / 255 - mean) / std.
        std: Of pixels from 0 to 1, likewise.
        crop: Whether the largest centred part of an image is taken, or all of it; None: as the file says.
        workers: Processes that decode images; None: as many as fit this machine.
        timeout_s: Seconds that up to 512 images may take; None: ten for each, and a minute.
        progress: Called as ``progress(done, total)`` with counts of images.

    Raises:
        UsageError: For an unknown split, or another kind of file.
        HwnasError: If the file is damaged or takes no image; if its labels or outputs are not those of the folder; if
            the folder has no such split, or over 10 % broken images.
    """
    (found,) = accuracies([model], data, split, mean, std, crop, workers, timeout_s, progress)
    return found


def accuracies(
    models: Sequence[Path | str],
    data: Path | str,
    split: Split = "test",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: bool | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    progress: Progress = silent,
) -> list[ModelAccuracy]:
    """The same for several files; images are decoded once for those that take them cut and resized in one way."""
    check_split(split)
    workers = default_workers() if workers is None else workers
    if workers < 0:
        raise UsageError(f"workers must be 0 (decode in this process) or more, not {workers}.")
    inputs = [model_input(Path(model), mean, std, crop) for model in models]
    source = source_of(data, split, workers)
    images, notes = images_of(source, split)
    matched = [output_classes(found, source.classes) for found in inputs]
    pixel_kinds = [(found.size, found.preprocessing.crop or "none") for found in inputs]
    answers: dict[int, NDArray[np.int64]] = {}
    broken: dict[int, dict[str, str]] = {}
    for done, kind in enumerate(dict.fromkeys(pixel_kinds)):
        members = {place: inputs[place] for place, own in enumerate(pixel_kinds) if own == kind}
        reader = ImageReader(_Decode(source.decode, *kind), max(kind[0]), workers)
        told = partial(_told, progress, done, len(set(pixel_kinds)))
        given, missing = _answers(members, images, reader, timeout_s, told)
        answers |= given
        broken |= dict.fromkeys(members, missing)  # a picture may be too large for one size, and not for another
    labels = {
        place: np.array([image.label for image in images if image.name not in missing])
        for place, missing in broken.items()
    }
    left_out = {
        place: (f"{len(missing)} images cannot be decoded and were left out",) if missing else ()
        for place, missing in broken.items()
    }
    return [
        _counted(
            found, split, source.classes, labels[place], positions, answers[place], (*notes, *left_out[place], *said)
        )
        for place, (found, (positions, said)) in enumerate(zip(inputs, matched, strict=True))
    ]


@dataclass(frozen=True)
class _Decode:
    """Pixels (3, H, W) of one image, as a model wants them; it can be sent to another process."""

    decode: Callable[..., Pixels]
    size: tuple[int, int]
    crop: Crop

    def __call__(self, name: str, _resolution: int) -> Pixels:
        return self.decode(name, self.size, crop=self.crop)


def _answers(
    models: dict[int, ModelInput],
    images: Sequence[LabelledImage],
    reader: ImageReader,
    timeout_s: float | None,
    progress: Progress,
) -> tuple[dict[int, NDArray[np.int64]], dict[str, str]]:
    """The answer of each model to each image that can be decoded, and by name why the others cannot."""
    answers: dict[int, list[NDArray[np.int64]]] = {place: [] for place in models}
    broken: dict[str, str] = {}
    for pixels, done in _runs(images, reader, broken):
        for place, model in models.items():
            if len(pixels):
                answers[place].append(classify(model, pixels, timeout_s))
        progress(done, len(images))
    check_broken(broken, len(images))
    return {place: np.concatenate(found) for place, found in answers.items()}, broken


def _runs(images: Sequence[LabelledImage], reader: ImageReader, broken: dict[str, str]) -> Iterator[tuple[Pixels, int]]:
    """The pixels of up to `IMAGES_PER_RUN` images and how many were read by then; those that are broken are noted."""
    chunks = [images[start : start + IMAGES_PER_READ] for start in range(0, len(images), IMAGES_PER_READ)]
    gathered: list[Pixels] = []
    done = 0
    for chunk, decoded in zip(chunks, reader.read([[image.name for image in chunk] for chunk in chunks]), strict=True):
        broken |= {chunk[position].name: reason for position, reason in decoded.broken.items()}
        done += len(chunk)
        if len(decoded.pixels):
            gathered.append(decoded.pixels)
        count, size = sum(map(len, gathered)), sum(pixels.nbytes for pixels in gathered)
        if count and (count >= IMAGES_PER_RUN or size >= BYTES_PER_RUN or done == len(images)):
            yield np.concatenate(gathered), done
            gathered = []


def _counted(
    model: ModelInput,
    split: Split,
    classes: tuple[str, ...],
    labels: NDArray[np.int64],
    positions: NDArray[np.int64],
    answers: NDArray[np.int64],
    notes: tuple[str, ...],
) -> ModelAccuracy:
    """The counts by class. Raises HwnasError for an answer that stands for no class."""
    if answers.max() >= len(positions):
        raise HwnasError(
            f"{model.path} gives more outputs than the {len(positions)} classes ({shown_names(classes)}): accuracy "
            "needs one output per class. Give the images that it was trained on."
        )
    right = positions[answers] == labels
    present = [(name, labels == label) for label, name in enumerate(classes) if (labels == label).any()]
    return ModelAccuracy(
        model=model.path,
        runtime=model.runtime,
        split=split,
        right={name: int(right[own].sum()) for name, own in present},
        images={name: int(own.sum()) for name, own in present},
        input=model,
        notes=notes,
    )


def _told(progress: Progress, kinds_done: int, kinds: int, done: int, total: int) -> None:
    """Tell of several passes over the images as of one."""
    progress(kinds_done * total + done, kinds * total)
