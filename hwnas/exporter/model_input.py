"""The ModelInput: what a model file takes and gives, as far as it says so; the rest is assumed, and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from numbers import Real
from pathlib import Path

from hwnas.errors import HwnasError, UsageError
from hwnas.inspection.info import EndInfo, ModelInfo
from hwnas.inspection.inspect import inspect
from hwnas.preprocessing import (
    ANTIALIASED_BILINEAR,
    LARGEST_CENTRED,
    WHOLE,
    Layout,
    Preprocessing,
    check_of_unit_pixels,
)
from hwnas.runtimes import runtime_for
from hwnas.runtimes.onnx_runtime import LAYOUT_KEY
from hwnas.text import excerpt

CHANNELS = (1, 3)


@dataclass(frozen=True)
class ModelInput:
    """A classifier of images in a .tflite or .onnx file.

    Args:
        path: The file.
        runtime: That runs it.
        preprocessing: From a photograph to its input, complete.
        channels: Of its input: 3, or 1 for grey.
        turned: A session of the runtime turns NCHW into NHWC by itself.
        outputs: How many it gives; None: the file does not say.
        labels: Names of the outputs; (): it has none.
        assumed: What it does not say and was therefore assumed, one sentence each.
    """

    path: Path
    runtime: str
    preprocessing: Preprocessing
    channels: int
    turned: bool
    outputs: int | None
    labels: tuple[str, ...]
    assumed: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        assert self.preprocessing.size is not None
        return self.preprocessing.size


def model_input(
    model: Path, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, crop: bool | None = None
) -> ModelInput:
    """The input of a file.

    Args:
        model: A .tflite or .onnx, whoever wrote it.
        mean, std: Of pixels from 0 to 1, one number or one per channel, instead of what the file says; both or neither.
        crop: Whether the largest centred part of a photograph is taken, or all of it; None: as the file says.

    Raises:
        UsageError: For another kind of file, or numbers that are no normalisation.
        HwnasError: If the file is missing or damaged, does not run here, or does not take one image.
    """
    if not (crop is None or isinstance(crop, bool)):
        raise UsageError(f"crop must be True, False or None, not {excerpt(crop)}.")
    given = _given(mean, std)
    info = inspect(model)
    if info.execution.refused is not None:
        raise HwnasError(f"{model} does not run here: {info.execution.refused}")
    source, (height, width, channels), layout = _image(info, model)
    seen, assumed = _seen(info, source, channels, given)
    if crop is not None:
        seen = replace(seen, crop=LARGEST_CENTRED if crop else WHOLE)
    if seen.crop is None:
        assumed.append("the largest centred part of each photograph was taken (--no-crop takes all of it)")
    if seen.resize is None:
        assumed.append("photographs were resized with an antialiased bilinear filter")
    complete = replace(
        seen,
        crop=seen.crop or LARGEST_CENTRED,
        resize=seen.resize or ANTIALIASED_BILINEAR,
        size=(height, width),
        layout=layout,
        dtype=source.dtype,
    )
    if channels == 1:
        assumed.append("photographs were made grey (ITU-R 601)")
    shape = info.outputs[0].counted_shape
    return ModelInput(
        path=model,
        runtime=runtime_for(model).name,
        preprocessing=complete,
        channels=channels,
        turned=info.format == "tflite" or info.metadata.entries.get(LAYOUT_KEY) == "NHWC",
        outputs=None if shape is None else prod(shape[1:]),
        labels=info.metadata.labels,
        assumed=tuple(assumed),
    )


def _given(mean: Sequence[float] | None, std: Sequence[float] | None) -> Preprocessing | None:
    """The normalisation that the caller wants. Raises UsageError for half of one, or one of pixels up to 255."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UsageError("a normalisation has a mean and a deviation; give both --mean and --std, or neither.")
    mean, std = ((float(each),) if isinstance(each, Real) else tuple(each) for each in (mean, std))
    check_of_unit_pixels(mean)
    return Preprocessing(mean, std)


def _image(info: ModelInfo, model: Path) -> tuple[EndInfo, tuple[int, int, int], Layout]:
    """The input of a file: its (height, width, channels) and its layout. Raises HwnasError if it is no image."""
    if len(info.inputs) != 1 or len(info.outputs) != 1:
        raise HwnasError(
            f"a classifier takes one image and gives one output; {model} has {len(info.inputs)} inputs and "
            f"{len(info.outputs)} outputs. Export it with one of each."
        )
    (source,) = info.inputs
    if len(source.shape) != 4:
        raise HwnasError(f"an image has four dimensions, and {model} takes {list(source.shape)}.")
    layout: Layout = "NCHW" if source.layout == "NCHW" else "NHWC"
    sizes = source.shape[2:] + source.shape[1:2] if layout == "NCHW" else source.shape[1:]
    height, width, channels = (size if isinstance(size, int) else 0 for size in sizes)
    if min(height, width) < 1:
        raise HwnasError(f"the input of {model} has no fixed size: {list(source.shape)}; export it for one image size.")
    if channels not in CHANNELS:
        raise HwnasError(f"an image has 3 channels, or 1 if it is grey, and {model} takes {list(source.shape)}.")
    return source, (height, width, channels), layout


def _seen(
    info: ModelInfo, source: EndInfo, channels: int, given: Preprocessing | None
) -> tuple[Preprocessing, list[str]]:
    """How the file wants pixels, and what of that was assumed."""
    recorded = info.metadata.preprocessing
    if given is not None:
        if len(given.mean) not in (1, channels):
            raise UsageError(f"give one mean and deviation, or one for each of the {channels} channels.")
        if recorded is not None:
            return replace(recorded, mean=given.mean, std=given.std, inside=False), []
        return given, []
    if recorded is not None and len(recorded.mean) in (1, channels):
        return recorded, []
    if source.dtype != "float32":
        return _raw(source)
    mean, std, is_onnx = info.metadata.mean, info.metadata.std, info.format == "onnx"
    if std and len(mean) == len(std) and len(std) in (1, channels) and min(std) > 0:
        if is_onnx and max(*mean, *std) <= 1 and (mean, std) != ((0.0,), (1.0,)):
            note = "mean and std of the file were taken for pixels of 0 to 1 (--mean and --std say otherwise)"
            return Preprocessing(tuple(mean), tuple(std)), [note]
        note = "mean and std of the file were taken for pixels of 0 to 255 (--mean and --std say otherwise)"
        known = tuple(x / 255 for x in mean), tuple(x / 255 for x in std)
        return Preprocessing(*known), [note] * is_onnx
    return Preprocessing((0.0,), (1.0,)), ["pixels were scaled to 0 to 1 (--mean and --std say otherwise)"]


def _raw(source: EndInfo) -> tuple[Preprocessing, list[str]]:
    """Pixels as they are in an input of integers: the values that a runtime stores as exactly these."""
    scale, zero_point = source.scale or 1.0, source.zero_point or 0
    shift = 128 if source.dtype == "int8" else 0
    stored = "pixels were put into the input as they are" + (", less 128" if shift else "")
    # value = scale * (stored - zero point), and stored = pixel - shift
    preprocessing = Preprocessing(((shift + zero_point) / 255,), (1 / (255 * scale),))
    return preprocessing, [f"{stored} (--mean and --std say otherwise)"]
