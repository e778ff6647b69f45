"""The limits of a design on what can be counted: parameters, multiply-adds, file size, peak memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from hwnas.child import build_child
from hwnas.exporter.export import ExportOptions, export
from hwnas.latency.budget import check_alone
from hwnas.latency.counted import macs_model, parameters_model
from hwnas.latency.limit import Limit, PeakLimit
from hwnas.latency.measuring.file_models import file_size_model, network_bytes, network_peak_bytes, peak_memory_model
from hwnas.latency.measuring.model_files import network_model
from hwnas.space import Architecture, SearchSpace
from hwnas.train.data import ImageData
from hwnas.train.export_images import export_images


def check_counts(limits: Mapping[str, float], space: SearchSpace) -> None:
    """Raise InfeasibleBudget for a limit on what is known of the space alone that none of its networks keeps."""
    for name, model in (("parameters", parameters_model), ("macs", macs_model)):
        if name in limits:
            check_alone(space, Limit(name, limits[name], model(space), ""))


def counted_limits(
    limits: Mapping[str, float],
    space: SearchSpace,
    formats: Sequence[str],
    precision: str,
    data: ImageData | None,
) -> tuple[Limit, ...]:
    """The limits by name, those on files once per format.

    Args:
        limits: the most of each, of `hwnas.designer.wanted_limits.COUNTED`.
        space: whose networks are counted.
        formats, precision: of the files that budgets are for.
        data: images, whose labels the files carry; None: no files are made, and nothing is checked on them.

    Raises HwnasError where something cannot be counted in the space.
    """
    found: list[Limit] = []
    for name, most in limits.items():
        if name == "parameters":
            found.append(Limit(name, most, parameters_model(space), ""))
        elif name == "macs":
            found.append(Limit(name, most, macs_model(space), ""))
        else:
            make = _file_size if name == "file-size" else _peak_memory
            for format in dict.fromkeys(formats):
                full = name if set(formats) == {"tflite"} else f"{name} ({format})"
                found.append(make(full, most, space, format, precision, data))
    return tuple(found)


def _file_size(
    name: str, most: float, space: SearchSpace, format: str, precision: str, data: ImageData | None
) -> Limit:
    further = 0.0 if data is None else _further_bytes(space, format, precision, data)
    model = file_size_model(space, format, precision, further)

    def measured(architecture: Architecture) -> float:
        return network_bytes(architecture, format, precision) + further

    return Limit(name, most, model, "B", None if data is None else measured)


def _peak_memory(
    name: str, most: float, space: SearchSpace, format: str, precision: str, data: ImageData | None
) -> Limit:
    measured: Callable[[Architecture], float] = partial(network_peak_bytes, format=format, precision=precision)
    return PeakLimit(name, most, peak_memory_model(space, format, precision), "B", None if data is None else measured)


def _further_bytes(space: SearchSpace, format: str, precision: str, data: ImageData) -> float:
    """The bytes of a file beside the network: its labels, and how pixels are prepared."""
    small = space.decode([0] * len(space.decisions))
    options = ExportOptions(list_noisy_layers=False)
    with tempfile.TemporaryDirectory() as folder:
        [model] = export(
            build_child(small),
            Path(folder),
            [format],
            precisions=[precision],
            images=export_images(data),
            options=options,
        )
    return float(model.bytes - len(network_model(small, format, precision)))
