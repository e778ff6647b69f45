"""The verb that counts how many images a model file gets right: accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json
from hwnas.errors import HwnasError, UsageError

if TYPE_CHECKING:
    from hwnas.train.model_accuracy import ModelAccuracy

SUFFIXES = (".tflite", ".onnx")


def accuracy(
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file, or a folder of them, such as a run.")],
    data: Annotated[
        str, typer.Option("--data", help="Folder of images, divided as `hwnas design` divides it; or digits.")
    ],
    split: Annotated[
        str, typer.Option("--split", help="test, val, train; all, for a folder of test images alone.")
    ] = "test",
    mean: Annotated[
        str | None, typer.Option("--mean", help="(pixel / 255 - mean) / std: one number or three [the file's own].")
    ] = None,
    std: Annotated[str | None, typer.Option("--std", help="One number or three, with commas [the file's own].")] = None,
    crop: Annotated[
        bool | None,
        typer.Option("--crop/--no-crop", help="Take the largest centred square, or all of an image [the file's own]."),
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout-s", min=0.1, help="Seconds allowed for up to 512 images.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count how many images a model file gets right, decoded, cut and resized as an app that follows its card does it.

    If a file does not say how it wants images, hwnas reads what it can, assumes the rest, and says what.

    Example: `hwnas accuracy runs/demo/models/model.int8.tflite --data photos`
    """
    from hwnas.report.accuracy_table import accuracy_table
    from hwnas.report.console import CONSOLE
    from hwnas.report.progress import progress_bars
    from hwnas.train.model_accuracy import accuracies
    from hwnas.train.split_images import check_split

    check_split(split)
    files, numbers = _files(model), (_numbers("--mean", mean), _numbers("--std", std))
    with progress_bars() as bars:
        bars("accuracy", 0, 1, "")
        found = accuracies(
            files,
            data,
            split,  # type: ignore[arg-type]  # it was checked
            *numbers,
            crop,
            timeout_s=timeout_s,
            progress=lambda done, total: bars("accuracy", done, total, f"{split} images"),
        )
    if as_json:
        print_json(_json(found))
    else:
        CONSOLE.print(accuracy_table(str(model), found))


def _json(found: list[ModelAccuracy]) -> dict[str, Any]:
    """Of the first file; of a folder also ``models``, every file's."""
    values = [each.to_json() for each in found]
    return values[0] | ({"models": values} if len(values) > 1 else {})


def _files(model: Path) -> list[Path]:
    """The files that are meant: .tflite before .onnx, the plain one first. Raises HwnasError for a folder of none."""
    if not model.is_dir():
        return [model]
    from hwnas.report.recorded import MODELS_FOLDER

    folder = model / MODELS_FOLDER if (model / MODELS_FOLDER).is_dir() else model
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise HwnasError(f"{folder} holds no {' or '.join(SUFFIXES)} file; name one, or export some to it.")
    return sorted(found, key=lambda path: (SUFFIXES.index(path.suffix.lower()), len(path.name), path.name))


def _numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers separated by commas. Raises UsageError for anything else."""
    try:
        return None if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(
            f"{option} takes one number, or one per channel with commas, such as 0.5,0.5,0.5; not {text!r}."
        ) from None
