"""The verb that writes model files of a network: export."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.formats import FORMATS
from hwnas.exporter.precision import PRECISIONS

if TYPE_CHECKING:
    from hwnas.child import ChildNetwork
    from hwnas.exporter.exported import ExportedModel
    from hwnas.exporter.images import ExportImages
    from hwnas.preprocessing import Preprocessing
    from hwnas.train.data import ImageData


def export(
    run: Annotated[Path, typer.Argument(help="Run folder, or any folder with architecture.json and weights.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write [RUN/models].")] = None,
    formats: Annotated[str, typer.Option("--format", help=f"Any of {', '.join(FORMATS)}, with commas.")] = ",".join(
        FORMATS
    ),
    precisions: Annotated[
        str, typer.Option("--precision", help=f"Any of {', '.join(PRECISIONS)}, with commas.")
    ] = "float32",
    data: Annotated[
        str | None,
        typer.Option("--data", help="Images to calibrate and test on [the run's own]; 'none' for no images."),
    ] = None,
    calibration_images: Annotated[int, typer.Option(min=1, help="Training images that calibrate int8.")] = 128,
    uint8_input: Annotated[bool, typer.Option("--uint8-input", help="Take pixels 0..255 as they are (uint8).")] = False,
    softmax: Annotated[bool, typer.Option("--softmax", help="Give probabilities instead of logits.")] = False,
    max_loss: Annotated[float, typer.Option(min=0, help="Percentage points of accuracy that a file may lose.")] = 1.0,
    int8_repair: Annotated[
        bool, typer.Option("--int8-repair", help="Keep as few layers in float as keep the loss within --max-loss.")
    ] = False,
    keep_float: Annotated[str, typer.Option(help="Layers that int8 files keep in float, with commas.")] = "",
    full_range: Annotated[
        bool, typer.Option("--full-range", help="int8 .onnx weights of 8 bits: not for x86 without VNNI.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the model, for its card, CARD.md beside the files.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's network as .tflite and .onnx: checked against PyTorch, and on the test images.

    Example: `hwnas export runs/demo --precision float32,int8 --uint8-input`
    """
    from hwnas.child import load_child
    from hwnas.exporter.export import ExportOptions
    from hwnas.exporter.export import export as export_child
    from hwnas.exporter.formats import get_format
    from hwnas.exporter.precision import get_precision
    from hwnas.report.model_card import write_model_card
    from hwnas.report.progress import progress_bars
    from hwnas.report.recorded import MODELS_FOLDER

    wanted, written = [get_precision(name) for name in _names(precisions)], [get_format(f) for f in _names(formats)]
    if not wanted or not written:
        raise UsageError("--precision and --format name one or more each, separated by commas; one of them is empty.")
    child = load_child(run)
    options = ExportOptions(uint8_input, softmax, max_loss, int8_repair, tuple(_names(keep_float)), not full_range)
    required = uint8_input or any(precision.needs_images for precision in wanted)
    with progress_bars() as bars:
        folder = out or run / MODELS_FOLDER
        known = data is None and _knows_images(folder)
        images = _images(run, child, data, calibration_images, required, known, bars)
        names = [precision.name for precision in wanted]
        models = export_child(child, folder, [each.name for each in written], None, names, images, options, bars)
    write_model_card(folder, _report(run), licence)
    if as_json:
        print_json({"models": [model.to_json() | {"path": str(model.path)} for model in models]})
    else:
        _print_models(folder, models, max_loss)
    _check_loss(models, max_loss, int8_repair, _names(keep_float))
    _check_agreement(models)


def _knows_images(folder: Path) -> bool:
    """Whether an earlier export there has its classes from images: without them its files would lose their labels."""
    from hwnas.exporter.exported import EXPORT_FILE
    from hwnas.files import read_json

    with suppress(HwnasError):
        earlier = read_json(folder / EXPORT_FILE, "the export")
        return isinstance(earlier, dict) and earlier.get("classes") is not None
    return False


def _print_models(folder: Path, models: list[ExportedModel], max_loss: float) -> None:
    """The table of the files, and for each the layers that int8 hurts and its warnings."""
    from rich.text import Text

    from hwnas.report.console import CONSOLE
    from hwnas.report.model_tables import export_table, layers_table

    CONSOLE.print(export_table(str(folder), models, max_loss))
    for model in models:
        if model.noisiest_layers:
            CONSOLE.print(layers_table(model))
        for warning in model.rounding_warnings:
            CONSOLE.print(Text(f"! {model.path.name}: {warning}", style="yellow"))


def _check_loss(models: list[ExportedModel], max_loss: float, repaired: bool, kept: Sequence[str]) -> None:
    """Raise HwnasError, with the cure, if a file loses more accuracy than it may."""
    over = [model for model in models if model.loses_more_than(max_loss)]
    if not over:
        return
    named = ", ".join(f"{model.path.name} {model.loss_points:.2f}" for model in over)
    if repaired:
        cure = (
            "Layers were kept in float until the validation images lost no more; the test images, which may not "
            "choose, lose more still: lower --max-loss to keep more layers in float, or train longer."
        )
    elif worse := [noise.layer for model in over for noise in model.noisiest_layers if noise.layer not in kept]:
        cure = f"Repeat with --int8-repair, or with --keep-float {','.join([*kept, worse[0]])}, or raise --max-loss."
    else:
        cure = "Use float16 or float32, or raise --max-loss."
    raise HwnasError(
        f"a file may get {max_loss:g} percentage points fewer test images right than PyTorch, and these get fewer: "
        f"{named}. The files were written. {cure}"
    )


def _check_agreement(models: list[ExportedModel]) -> None:
    """Raise HwnasError if a file gives too many test images another class than PyTorch, right or wrong."""
    other = [model for model in models if model.disagrees]
    if other:
        named = ", ".join(f"{model.path.name}: {model.rounding_warnings[0]}" for model in other)
        raise HwnasError(f"{named} The files were written. Repeat with --int8-repair, or use float16 or float32.")


def _images(
    run: Path, child: ChildNetwork, data: str | None, count: int, required: bool, known: bool, bars: Any
) -> ExportImages | None:
    """The images to export with: those that are named, or the run's own; None where there are none to be had.

    That is an error where they are required, or known from files that were exported before.
    """
    from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD
    from hwnas.report.console import CONSOLE
    from hwnas.report.recorded import run_config, run_of
    from hwnas.run import RUN_FILE
    from hwnas.train.data import load_data
    from hwnas.train.export_images import export_images

    run = run_of(run)
    config = run_config(run)
    source = data or config.get("data")
    if data == "none" or source is None:
        if required or known:
            raise UsageError(
                f"int8 and --uint8-input need images, and there are none: {run} holds no {RUN_FILE} that names the "
                "images of the training, or --data is none. Name a folder of images with --data."
            )
        return None
    shared: dict[str, Any] = {key: config[key] for key in ("batch_size", "seed", "workers") if key in config}
    if config.get("pretrained") not in (None, "none"):
        shared["normalisation"] = IMAGENET_MEAN, IMAGENET_STD
    if data is None:  # the split that the run was trained on, image for image
        shared["limit_train"] = config.get("limit_train")

    def progress(done: int, total: int) -> None:
        bars("images", done, total, "")

    try:
        loaded = load_data(source, child.architecture.input_shape[1], progress=progress, **shared)
        if data is None:
            _check_unchanged(source, loaded.digest, config)
        preprocessing = _preprocessing(run, loaded, data is None)
    except HwnasError as error:
        if data is None and (required or known):
            without = "" if required else ", or leave them out with --data none, and labels and accuracy with them"
            raise HwnasError(f"{error} The images of the run are needed: name them with --data{without}.") from None
        if data is not None:
            raise
        CONSOLE.print(f"exporting without images, so accuracy, labels and normalisation are left out: {error}")
        return None
    return export_images(loaded, count, preprocessing=preprocessing)  # calibrated on the images that a design takes


def _check_unchanged(source: str, digest: str, config: dict[str, Any]) -> None:
    """Raise HwnasError if the run's own images are others than it was trained on, as far as it recorded them."""
    recorded = config.get("images")
    if isinstance(recorded, dict) and recorded.get("sha256") != digest:
        raise HwnasError(
            f"the images in {source} have changed since the run was trained on them. Restore them, or name the images "
            "to export with by --data."
        )


def _report(run: Path) -> dict[str, Any] | None:
    """The results of the design that made this run; None for a run of another kind."""
    from hwnas.report.recorded import REPORT_FILE, design_report

    return design_report(run / REPORT_FILE)


def _preprocessing(run: Path, images: ImageData, own: bool) -> Preprocessing | None:
    """How the run's network was trained to see pixels; None: not recorded, or the run's `own` images tell it better.

    Raises UsageError for other classes.
    """
    from hwnas.preprocessing import ANTIALIASED_BILINEAR, LARGEST_CENTRED, Preprocessing

    report = _report(run)
    if report is None:
        return None
    trained = tuple(report.get("classes", ()))
    if trained and trained != images.classes:
        raise UsageError(
            f"the network was trained on the classes {', '.join(trained)}, the images are of "
            f"{', '.join(images.classes)}; give images of the same classes in folders of the same names."
        )
    seen = report.get("preprocessing")
    if seen is None or (own and seen.get("resolution", images.resolution) != images.resolution):
        return None
    # reports of old do not say how images were cut and resized, which has always been done in this way
    return Preprocessing(tuple(seen["mean"]), tuple(seen["std"]), LARGEST_CENTRED, ANTIALIASED_BILINEAR)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
