"""A small network that was really trained, and the images it was trained on, for the tests of precisions."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from hwnas.child import ChildNetwork, build_child, load_child, save_child
from hwnas.errors import HwnasError
from hwnas.exporter.images import ExportImages
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data
from hwnas.train.export_images import export_images

RESOLUTION = 16


@cache
def digits() -> ImageData:
    return load_data("digits", RESOLUTION, batch_size=32, workers=0)


@cache
def digits_images() -> ExportImages:
    return export_images(digits(), calibration_images=64)


@cache
def _trained() -> ChildNetwork:
    """Trained by the process of tests that needs it first, and loaded by the others."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return _train()
    kept = Path(tempfile.gettempdir(), f"hwnas-tests-digits-{run}")
    try:
        return load_child(kept)
    except HwnasError:
        child = _train()
        save_child(child, kept)
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        return child


def _train() -> ChildNetwork:
    torch.manual_seed(0)
    space = get_space("tiny", RESOLUTION, 10, 0.5)
    child = build_child(space.decode([0] * len(space.decisions))).train()
    optimizer = torch.optim.AdamW(child.parameters(), lr=5e-3)
    for epoch in range(5):
        for images, labels in digits().train_batches(epoch):
            optimizer.zero_grad()
            F.cross_entropy(child(images), labels).backward()
            optimizer.step()
    return child.eval()


def digits_child() -> ChildNetwork:
    """A copy of the trained network, about 90 % right on the test images."""
    return deepcopy(_trained())


def hard_for_int8(child: ChildNetwork, block: int = 2, factor: float = 3000.0) -> ChildNetwork:
    """The same function in float, with one channel inside a block so large that 8 bits lose all the others.

    The channel is scaled up by the batch norm before a ReLU and down again by the weights behind it.
    """
    norm, projection = child.blocks[block].depthwise[1], child.blocks[block].project[0]
    norm.weight.data[0] *= factor
    norm.bias.data[0] *= factor
    projection.weight.data[:, 0] /= factor
    return child


def low_bit_hard(child: ChildNetwork, factor: float = 150.0) -> ChildNetwork:
    """The same function in float, with one channel of every depthwise layer so large that 8 bits lose much of the
    others."""
    for block in range(1, len(child.blocks) - 1):
        hard_for_int8(child, block, factor)
    return child
