"""Export: a network -> Graph -> .tflite and .onnx, in several precisions, checked number for number against PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hwnas.arguments import expect
from hwnas.child import weights_checksum
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.accuracy import Accuracy
from hwnas.exporter.evaluation import Evaluation
from hwnas.exporter.exported import CARD_FILE, EXPORT_FILE, ExportedModel, write_export_json
from hwnas.exporter.exporter import Exporter, ExportProgress, FileDraft
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.graph import Graph
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.graph.module_copy import module_copy
from hwnas.exporter.images import ExportImages
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.model_file.quantizer import Int8Settings
from hwnas.exporter.parity import check_parity
from hwnas.exporter.precision import Precision, get_precision
from hwnas.exporter.sensitivity import never_int8
from hwnas.exporter.target import Target
from hwnas.files import check_ours, write_atomically
from hwnas.inspection.examine import examine
from hwnas.locks import FolderLock
from hwnas.progress import silent
from hwnas.runtimes.files import quiet_stderr
from hwnas.space import Architecture

RANDOM_IMAGES = 4
"""For `convert` without images: how long an inference takes does not depend on the ranges of activations."""

OTHERS_WRITE_S = 60.0
"""How long another export to the same folder may take to write its finished files."""

CLASSES_SHOWN = 5
"""How many classes an error names."""


@dataclass(frozen=True)
class ExportOptions:
    """Options that all files of an export share.

    Args:
        uint8_input: They take pixels 0..255 as uint8 (N, H, W, C) and normalise them inside; needs images.
        softmax: They give probabilities instead of logits.
        max_loss: Percentage points of accuracy that int8 may lose against PyTorch before its worst layers are listed.
        repair: Keep the fewest of these layers in float that bring the loss below `max_loss`.
        keep_float: Layers that int8 files compute in float32, by path; ``blocks.3`` is all of block 3.
        reduce_range: See `hwnas.exporter.model_file.quantizer.Int8Settings`.
        list_noisy_layers: Where int8 loses more than `max_loss`, say which layers add most noise, which takes a while.
    """

    uint8_input: bool = False
    softmax: bool = False
    max_loss: float = 1.0
    repair: bool = False
    keep_float: tuple[str, ...] = ()
    reduce_range: bool = True
    list_noisy_layers: bool = True


def convert(
    module: nn.Module,
    input_shape: tuple[int, ...],
    format: str,
    precision: str = "float32",
    images: NDArray[np.float32] | None = None,
    integer_ends: bool = False,
) -> bytes:
    """A module as a model file in memory, unchecked: blocks are measured as such files, by the hundred.

    Args:
        module: One image in, one tensor out, made of supported layers; left as it was.
        input_shape: (N, C, H, W).
        format: ``tflite`` or ``onnx``.
        precision: One of `hwnas.exporter.precision.PRECISIONS`.
        images: (count, C, H, W), as the network takes them, to calibrate int8 with; None: random ones, which make a
            file that takes as long as any other and answers nothing.
        integer_ends: See `hwnas.exporter.model_file.quantizer.Int8Settings`.

    Raises:
        UsageError: For an unknown format or precision, or a wrong shape.
        HwnasError: For a layer that cannot be exported (named with its path), or a missing package.
    """
    kind, wanted = get_format(format), get_precision(precision)
    graph = _not_empty(lower(module, input_shape))
    if not wanted.needs_images:
        file = kind.write(graph, "float16" if wanted.name == "float16" else "float32")
        return kind.int8_weights(file) if wanted.name == "int8-weights" else file
    friendly = decompose(graph)
    if images is None:
        shape = (RANDOM_IMAGES * graph.input.shape[0], *graph.input.shape[1:])
        images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    quantizer = kind.quantizer(kind.write(friendly), images, Int8Settings(integer_ends=integer_ends))
    return quantizer.quantized(never_int8(friendly))


def export(
    module: nn.Module,
    folder: Path | str,
    formats: Sequence[str] = FORMATS,
    input_shape: tuple[int, ...] | None = None,
    precisions: Sequence[str] = ("float32",),
    images: ExportImages | None = None,
    options: ExportOptions = ExportOptions(),
    progress: ExportProgress | None = None,
) -> list[ExportedModel]:
    """Write ``model.tflite``, ``model.onnx``, ``model.int8.tflite`` ... and ``export.json``, after checking the files.

    float32 and float16 are compared with PyTorch on a random input (and on images, if there are any); the blocks of the
    network are compared one by one too. With images every file also gets its accuracy on the test images, in the
    runtime that an app would use. No file is written before all have passed. The module is left as it was.

    Args:
        module: A ChildNetwork, or any module made of supported layers, on any device.
        folder: Created if need be.
        formats: Any of ``tflite``, ``onnx``.
        input_shape: (N, C, H, W); one image of a ChildNetwork's own input shape by default.
        precisions: Any of ``float32``, ``float16`` (weights), ``int8`` (weights and activations; needs images),
            ``int8-weights``.
        images: The user's images; see `hwnas.train.export_images` for those of `load_data`.
        options: Shared by all files.
        progress: Told what is going on.

    Returns:
        One ExportedModel per format and precision, in the order asked for.

    Raises:
        UsageError: For an unknown format, precision or layer, a wrong or missing shape, or int8 without images.
        HwnasError: For a folder with such a file that hwnas did not write, a layer that cannot be exported, a missing
            package, a relative error above the limit (naming the block), or a folder that cannot be written.
    """
    chosen = [get_format(name) for name in _names(formats, "formats")]
    wanted = [get_precision(name) for name in _names(precisions, "precisions")]
    if images is not None:
        expect(images, ExportImages, "images", "an ExportImages, such as hwnas.export_images(data)")
    expect(options, ExportOptions, "options", "an ExportOptions")
    shape = input_shape or _own_input_shape(module)
    _check_images(wanted, images, shape, options)
    report = progress or silent
    pairs = [(format, precision) for precision in wanted for format in chosen]
    for name in (*(precision.file_name(format.name) for format, precision in pairs), EXPORT_FILE, CARD_FILE):
        check_ours(Path(folder) / name)
    reference = module_copy(module)
    graph = _not_empty(lower(reference, shape))
    _check_classes(graph, images)
    block_errors = {format.name: check_parity(reference, shape, format, format.write(graph)) for format in chosen}
    target = Target(reference, graph, images.preprocessing if images else None, options.uint8_input, options.softmax)
    metadata = _metadata(target, shape, images, options)
    settings = Int8Settings(options.uint8_input, options.reduce_range)
    exporter = Exporter(target, metadata, images, settings, options.keep_float, report)
    files = _made(exporter, pairs, report)
    pytorch = None
    if images and images.classes:
        most_points = options.max_loss if options.list_noisy_layers or options.repair else None
        pytorch = Evaluation(exporter, images, report).evaluate(files, most_points, options.repair)
    about = _about(module, target, images, options, pytorch)
    return _write(files, Path(folder), block_errors, about)


def _made(exporter: Exporter, pairs: Sequence[tuple[Format, Precision]], report: ExportProgress) -> list[FileDraft]:
    """The files in memory, one by one."""
    files = []
    for done, (format, precision) in enumerate(pairs):
        report("export", done, len(pairs), precision.file_name(format.name))
        files.append(exporter.make(format, precision))
    report("export", len(pairs), len(pairs), "")
    return files


def _write(
    files: Sequence[FileDraft], folder: Path, block_errors: dict[str, float], about: dict[str, Any]
) -> list[ExportedModel]:
    """Put finished files into a folder, and them and `about` into its list, to which other exports may add theirs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwnasError(f"cannot write {folder}: {error.strerror}. Name another folder.") from None
    with FolderLock(folder, wait_s=OTHERS_WRITE_S):
        exported = [_put(file, folder, block_errors[file.format.name]) for file in files]
        write_export_json(folder, exported, about)
    return exported


def _put(file: FileDraft, folder: Path, block_error: float) -> ExportedModel:
    """Write a finished file and say what is in it."""
    path = folder / file.precision.file_name(file.format.name)
    write_atomically(path, lambda temporary: temporary.write_bytes(file.data))
    with quiet_stderr():
        info = examine(path)
    error = max(file.parity.worst, block_error) if file.precision.name == "float32" else file.parity.worst
    return ExportedModel(
        format=file.format.name,
        precision=file.precision.name,
        path=path,
        bytes=len(file.data),
        max_relative_error=error,
        limit=file.limit,
        parity=file.parity,
        info=info,
        accuracy=file.accuracy,
        loss_points=file.loss_points,
        kept_float=file.kept_float,
        noisiest_layers=file.noisiest_layers,
    )


def _about(
    module: nn.Module,
    target: Target,
    images: ExportImages | None,
    options: ExportOptions,
    pytorch: Accuracy | None,
) -> dict[str, Any]:
    """The entries of ``export.json`` on the network and its images."""
    architecture = _architecture_of(module)
    seen = None if images is None else images.preprocessing
    return {
        "architecture": None if architecture is None else architecture.to_json(),
        "weights_sha256": weights_checksum(target.module.state_dict()),
        "input_shape": list(target.graph.input.shape),
        "input_shape_order": "NCHW",
        "output_shape": list(target.graph.output.shape),
        "output": "probabilities" if target.gives_probabilities else "logits",
        "normalisation": None if seen is None else {"mean": list(seen.mean), "std": list(seen.std)},
        "normalisation_inside": options.uint8_input,
        "classes": None if images is None or not images.classes else list(images.classes),
        "calibration": None if images is None else images.calibration.to_json(),
        "pytorch": None if pytorch is None else pytorch.to_json(),
        "options": asdict(options),
    }


def _metadata(
    target: Target, shape: tuple[int, ...], images: ExportImages | None, options: ExportOptions
) -> ModelMetadata | None:
    """The metadata of the files; none where nothing is known but the network."""
    if images is None:
        return None
    return ModelMetadata(
        (shape[2], shape[3]), images.preprocessing, options.uint8_input, images.classes, target.gives_probabilities
    )


def _names(given: Sequence[str], what: str) -> tuple[str, ...]:
    """Each name once; one name may stand alone. Raises UsageError for none."""
    names = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
    if not names:
        raise UsageError(f"{what} must name one or more, and is empty.")
    return names


def _check_images(
    precisions: Sequence[Precision], images: ExportImages | None, shape: tuple[int, ...], options: ExportOptions
) -> None:
    """Raise UsageError for images that are missing, or of another shape than the network takes."""
    if images is None:
        for precision in precisions:
            if precision.needs_images:
                raise UsageError(
                    f"{precision.name} rounds activations, whose ranges must be seen on images such as the network "
                    "will get; give some (--data), or export int8-weights, which needs none."
                )
        return
    if options.max_loss < 0:
        raise UsageError(f"max_loss is in percentage points, 0 or more, not {options.max_loss}.")
    pixels = images.calibration.pixels
    if len(pixels) == 0 or pixels.shape[1:] != tuple(shape[1:]):
        raise UsageError(f"the network takes images of {tuple(shape[1:])}, those given are {pixels.shape}.")


def _check_classes(graph: Graph, images: ExportImages | None) -> None:
    """Raise HwnasError unless the network has one output for each class: its accuracy and labels would mean nothing."""
    shape = graph.output.shape
    if images is None or not images.classes or (len(shape) == 2 and shape[1] == len(images.classes)):
        return
    shown = ", ".join(map(ascii, images.classes[:CLASSES_SHOWN]))
    more = ", ..." if len(images.classes) > CLASSES_SHOWN else ""
    raise HwnasError(
        f"the network gives {shape[1] if len(shape) == 2 else shape} outputs, and the images are of "
        f"{len(images.classes)} classes ({shown}{more}): accuracy and labels need one output per class. Nothing was "
        "exported. Give the images that the network was trained on; or images without classes (classes=()), which "
        "calibrate int8 and leave accuracy and labels out."
    )


def _not_empty(graph: Graph) -> Graph:
    if not graph.operators:
        raise HwnasError("there is nothing to export: the module returns its input. Leave it out, it costs no time.")
    return graph


def _own_input_shape(module: nn.Module) -> tuple[int, ...]:
    architecture = _architecture_of(module)
    if architecture is None:
        raise UsageError(f"pass input_shape=(N, C, H, W): a {type(module).__name__} does not say what image it takes.")
    return (1, *architecture.input_shape)


def _architecture_of(module: nn.Module) -> Architecture | None:
    """The architecture that one of our networks was built from; networks of others use the name for other things."""
    architecture = vars(module).get("architecture")
    return architecture if isinstance(architecture, Architecture) else None
