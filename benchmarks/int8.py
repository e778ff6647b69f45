"""What each precision costs in accuracy and gains in size and speed: trained networks, on digits and on CIFAR-10.

The table says, per data set and file: accuracy on the test images through the runtime, points lost against PyTorch,
size, XNNPACK's partitions, and latency as a ratio to the float32 file of the same format, both run in turns in this
process. A network of the space `tiny` is trained for a few epochs first: the accuracies are not meant to be high.

python benchmarks/int8.py [--data digits] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import cifar10_subset, show
from interleaved import interleaved_ms

from hwnas.child import ChildNetwork, build_child
from hwnas.exporter.export import export
from hwnas.exporter.exported import ExportedModel
from hwnas.exporter.precision import PRECISIONS
from hwnas.runtimes import Session, get_runtime
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data
from hwnas.train.export_images import export_images

RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}


def digits() -> tuple[ImageData, int]:
    """The images, and how many epochs to train on them."""
    return load_data("digits", 16, batch_size=32, workers=0), 8


def cifar10() -> tuple[ImageData, int]:
    return load_data(cifar10_subset(500, 100), 32, batch_size=64), 6


DATA: dict[str, Callable[[], tuple[ImageData, int]]] = {"digits": digits, "cifar10": cifar10}


def trained(data: ImageData, epochs: int) -> ChildNetwork:
    """The largest network of the space tiny, trained with AdamW and a linear decay."""
    torch.manual_seed(0)
    space = get_space("tiny", data.resolution, len(data.classes))
    child = build_child(space.decode([0] * len(space.decisions))).train()
    optimizer = torch.optim.AdamW(child.parameters(), lr=3e-3)
    steps = epochs * data.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for epoch in range(epochs):
        for images, labels in data.train_batches(epoch):
            optimizer.zero_grad()
            F.cross_entropy(child(images), labels).backward()
            optimizer.step()
            schedule.step()
    return child.eval()


def latency_ratios(models: list[ExportedModel], shape: tuple[int, ...], rounds: int) -> dict[str, float]:
    """File name -> its latency over that of the float32 file of its format."""
    loads: dict[str, Callable[[], Session]] = {
        model.path.name: lambda model=model: get_runtime(RUNTIMES[model.format]).load(model.path)  # type: ignore[misc]
        for model in models
    }
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    ms = interleaved_ms(loads, x, rounds)
    return {
        model.path.name: median(
            mine / base for mine, base in zip(ms[model.path.name], ms[f"model.{model.format}"], strict=True)
        )
        for model in models
    }


def rows_of(name: str, rounds: int) -> list[dict[str, Any]]:
    data, epochs = DATA[name]()
    child = trained(data, epochs)
    with tempfile.TemporaryDirectory() as folder:
        models = export(child, Path(folder), precisions=tuple(PRECISIONS), images=export_images(data))
        ratios = latency_ratios(models, (1, 3, data.resolution, data.resolution), rounds)
    rows = []
    for model in models:
        assert model.accuracy is not None and model.loss_points is not None
        rows.append(
            {
                "data": name,
                "file": model.path.name,
                "KiB": model.bytes / 1024,
                "accuracy %": 100 * model.accuracy.share,
                "test images": model.accuracy.images,
                "points lost": model.loss_points,
                "signal/noise dB": model.parity.signal_to_noise_db,
                "partitions": "" if (count := model.info.execution.partitions) is None else count,
                "latency ratio": ratios[model.path.name],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA), help="which images (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the latency measurement (default: 5)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in arguments.data for row in rows_of(name, arguments.rounds)]
    show("int8 and other precisions of a trained network", rows, arguments.json)


if __name__ == "__main__":
    main()
