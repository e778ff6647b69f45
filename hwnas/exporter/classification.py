"""Classification: the class that a model file, whoever wrote it, gives to each image, in the runtime that an app uses.

The file runs in a process with limits: a damaged or hostile one is an error here, nothing else. `classify` is the one
side, `main` the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.accuracy import batched
from hwnas.exporter.model_input import ModelInput
from hwnas.preprocessing import Preprocessing
from hwnas.runtimes import get_runtime
from hwnas.sandbox import run_sandboxed, serve
from hwnas.temporary import temporary_folder

START_S, SLOWEST_IMAGE_S = 60.0, 10.0
"""Seconds that a process may take to start, and for each image."""

IMAGES_AT_ONCE = 32

GREY = (19_595, 38_470, 7_471)
"""The share of red, green and blue in grey, of 65,536: ITU-R 601, as in Pillow's ``convert("L")``."""


def classify(model: ModelInput, pixels: NDArray[np.uint8], timeout_s: float | None = None) -> NDArray[np.int64]:
    """The position of the largest output (N) for each image.

    Args:
        model: The file and its input.
        pixels: (N, 3, H, W), cut and resized.
        timeout_s: Seconds after which the process is stopped; None: ten for each image, and a minute.

    Raises:
        HwnasError: If the file crashes its runtime, needs too much memory or takes too long.
    """
    seconds = START_S + SLOWEST_IMAGE_S * len(pixels) if timeout_s is None else timeout_s
    with temporary_folder() as folder:
        np.save(folder / "pixels.npy", pixels)
        task = {
            "model": str(model.path.absolute()),
            "runtime": model.runtime,
            "pixels": str(folder / "pixels.npy"),
            "preprocessing": model.preprocessing.text(),
            "channels": model.channels,
            "turned": model.turned,
        }
        answer = run_sandboxed("hwnas.exporter.classification", task, model.runtime, str(model.path), seconds)
    return np.array(answer["classes"], np.int64)


def main() -> None:
    serve(_classify)


def _classify(task: dict[str, Any]) -> dict[str, Any]:
    from hwnas.inspection.onnx_file import check_external_data_of

    model, preprocessing = Path(task["model"]), Preprocessing.of_text(task["preprocessing"])
    assert preprocessing is not None
    if model.suffix.lower() == ".onnx":
        check_external_data_of(model)
    pixels: NDArray[np.uint8] = np.load(task["pixels"], mmap_mode="r", allow_pickle=False)

    def prepare(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        coloured = images if task["channels"] == 3 else grey(images)
        return arranged(preprocessing.inputs(coloured), preprocessing.layout == "NCHW", task["turned"])

    run = batched(get_runtime(task["runtime"]).load(model), prepare)
    classes: list[int] = []
    for start in range(0, len(pixels), IMAGES_AT_ONCE):
        images = pixels[start : start + IMAGES_AT_ONCE]
        classes += run(images).reshape(len(images), -1).argmax(1).tolist()
    return {"classes": classes}


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 1, H, W) of pixels (N, 3, H, W)."""
    weights = np.array(GREY, np.int64).reshape(-1, 1, 1)
    found: NDArray[np.uint8] = ((pixels * weights).sum(1, keepdims=True) + 2**15 >> 16).astype(np.uint8)
    return found


def arranged(values: NDArray[np.float32], channels_first: bool, turned: bool) -> NDArray[np.float32]:
    """Values (N, C, H, W) as a session wants them.

    Args:
        values: Of images.
        channels_first: The file takes (N, C, H, W); (N, H, W, C) otherwise.
        turned: The session turns what it is given from the first into the second, whatever the file takes.
    """
    if turned:
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if channels_first else values
    return values if channels_first else np.ascontiguousarray(values.transpose(0, 2, 3, 1))


if __name__ == "__main__":
    main()
