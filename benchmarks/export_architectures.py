"""Random architectures of every space, exported and compared with PyTorch number for number."""

from __future__ import annotations

import random
import tempfile
import time
from typing import Any

import numpy as np
import torch
from networks import with_statistics

from hwnas.child import build_child
from hwnas.errors import HwnasError
from hwnas.exporter.export import export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.parity import LIMIT, exact_limit, relative_error
from hwnas.runtimes import get_runtime
from hwnas.space import Architecture
from hwnas.spaces import SPACES, get_space

WEIGHTS = ("float32", "float16")
"""What weights are stored as; the arithmetic is float32 with both."""

FILES_EACH = len(FORMATS) * len(WEIGHTS)

LIMITS = {"float16": 2e-3, "float16 files": 2e-5}
"""Largest relative errors that pass: of float16 files as `hwnas.export` writes them, against PyTorch; and between two
float16 files of the same rounded weights. float32 files are held to `exact_limit`."""

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
        over = {key: error for key, error in found.items() if not error <= LIMITS.get(key, np.inf)}
        if over:
            failures[str(space.encode(architecture))] = ", ".join(f"{key}: {error:.1e}" for key, error in over.items())
    return {
        "space": name,
        "px": resolution,
        "networks": count,
        "failed": len(failures),
        **{f"max {key}": max((found[key] for found in errors), default=None) for key in (*FORMATS, *LIMITS)},
        "above 1e-5": sum(max(found[format] for format in FORMATS) > LIMIT for found in errors),
        "layers kept float32": sum(found["kept"] > 0 for found in errors),
        "ms per file": 1000 * conversion_s / max(1, FILES_EACH * len(errors)),
        "s": time.perf_counter() - start,
        "failures": failures,
    }


def _errors(architecture: Architecture, seed: int) -> tuple[dict[str, float], float]:
    """The errors of one architecture, and the seconds that making its files took.

    Raises HwnasError for a float32 file that is less exact than PyTorch.
    """
    shape = (1, *architecture.input_shape)
    torch.manual_seed(seed)
    child = with_statistics(build_child(architecture), (16, *shape[1:]), seed)
    x = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = child(torch.from_numpy(x)).numpy()
    outputs, seconds = {}, 0.0
    for format in map(get_format, FORMATS):
        for weights in WEIGHTS:
            start = time.perf_counter()
            model = format.write(lower(child, shape), weights=weights)
            seconds += time.perf_counter() - start
            outputs[format.name, weights] = get_runtime(format.runtime).load(model, threads=1).run(x)
    errors: dict[str, float] = {format: relative_error(outputs[format, "float32"], expected) for format in FORMATS}
    if max(errors.values()) > LIMIT and max(errors.values()) > (limit := exact_limit(child, x)):
        raise HwnasError(f"float32: {max(errors.values()):.1e}, PyTorch itself allows {limit:.1e}")
    errors["float16"] = max(relative_error(outputs[format, "float16"], expected) for format in FORMATS)
    errors["float16 files"] = relative_error(outputs["tflite", "float16"], outputs["onnx", "float16"])
    errors["kept"] = 0
    if errors["float16"] > LIMITS["float16"]:  # the verb keeps the weights of some layers in float32 then
        with tempfile.TemporaryDirectory() as folder:
            models = export(child, folder, tuple(FORMATS), shape, ("float16",))
        errors["float16"] = max(model.max_relative_error for model in models)
        errors["kept"] = max(len(model.kept_float) for model in models)
    return errors, seconds
