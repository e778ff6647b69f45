"""Random architectures of every space, exported and compared with PyTorch number for number."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import torch
from networks import with_statistics

from hwnas.child import build_child
from hwnas.errors import HwnasError
from hwnas.export.formats import FORMATS
from hwnas.export.lower import lower
from hwnas.export.parity import relative_error
from hwnas.runtimes import get_runtime
from hwnas.space import Architecture
from hwnas.spaces import SPACES, get_space

WEIGHTS = ("float32", "float16")
"""What weights are stored as; the arithmetic is float32 with both."""

FILES_EACH = len(FORMATS) * len(WEIGHTS)

LIMITS = {**dict.fromkeys(FORMATS, 1e-5), "float16": 5e-2, "float16 files": 2e-5}
"""Largest relative errors that pass: of the float32 files against PyTorch; of the float16 files against PyTorch, where
it depends on the network how far 11 bits per weight carry; and between the two float16 files, which hold the same
rounded weights: there the rounding of two runtimes adds up."""

RESOLUTION = 64
"""Of the spaces for larger images: which operators there are does not depend on it."""


def check_architectures(per_space: int) -> list[dict[str, Any]]:
    """Export random architectures of every space: a row per space, with the largest errors and whatever failed."""
    return [_check_space(name, per_space) for name in SPACES]


def _check_space(name: str, count: int) -> dict[str, Any]:
    resolution = min(RESOLUTION, get_space(name).input_shape[-1])
    space = get_space(name, resolution=resolution)
    source = random.Random(0)
    errors: list[dict[str, float]] = []
    failures: dict[str, str] = {}
    conversion_s, start = 0.0, time.perf_counter()
    for number in range(count):
        architecture = space.sample(source)
        try:
            found, seconds = _errors(architecture, seed=number)
        except HwnasError as error:
            failures[str(space.encode(architecture))] = str(error)
            continue
        errors.append(found)
        conversion_s += seconds
        over = {key: error for key, error in found.items() if not error <= LIMITS[key]}
        if over:
            failures[str(space.encode(architecture))] = ", ".join(f"{key}: {error:.1e}" for key, error in over.items())
    return {
        "space": name,
        "px": resolution,
        "networks": count,
        "failed": len(failures),
        **{f"max {key}": max((found[key] for found in errors), default=None) for key in LIMITS},
        "float16 below 2e-3": sum(found["float16"] <= 2e-3 for found in errors),
        "ms per file": 1000 * conversion_s / max(1, FILES_EACH * len(errors)),
        "s": time.perf_counter() - start,
        "failures": failures,
    }


def _errors(architecture: Architecture, seed: int) -> tuple[dict[str, float], float]:
    """The errors of one architecture that `LIMITS` names, and the seconds that making its files took."""
    shape = (1, *architecture.input_shape)
    torch.manual_seed(seed)
    child = with_statistics(build_child(architecture), (16, *shape[1:]), seed)
    x = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = child(torch.from_numpy(x)).numpy()
    outputs, seconds = {}, 0.0
    for format in FORMATS.values():
        for weights in WEIGHTS:
            start = time.perf_counter()
            model = format.write(lower(child, shape), weights=weights)
            seconds += time.perf_counter() - start
            outputs[format.name, weights] = get_runtime(format.runtime).load(model, threads=1).run(x)
    errors = {format: relative_error(outputs[format, "float32"], expected) for format in FORMATS}
    errors["float16"] = max(relative_error(outputs[format, "float16"], expected) for format in FORMATS)
    errors["float16 files"] = relative_error(outputs["tflite", "float16"], outputs["onnx", "float16"])
    return errors, seconds
