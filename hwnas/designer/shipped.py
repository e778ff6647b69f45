"""A design for a phone that is not at hand: its latencies are predicted, by a table that comes with hwnas."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hwnas.designer.choices import Choices, choose
from hwnas.designer.config import DesignConfig
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.latency.fitting.fit import published_predictor
from hwnas.latency.tables.known import shipped_instead
from hwnas.latency.tables.shipped import ShippedTable, shipped_table
from hwnas.latency.tables.table import LatencyTable
from hwnas.runners import resolve_runtime
from hwnas.space import Architecture
from hwnas.spaces import get_space

LOG = logging.getLogger(__name__)


def choose_for(
    config: DesignConfig, folder: Path, device: Device, runtime: str, measured_ms: Callable[[Architecture], float]
) -> Choices:
    """Decide what the configuration leaves open, and whether the device is measured or priced by a shipped table.

    Args:
        config, folder, measured_ms: as for `choose`.
        device, runtime: what the design is for.

    Raises:
        UsageError: the device has no such runtime, or there is no such space.
        HwnasError: there are no images; the device is not at hand, and nothing that is shipped prices the space.
    """
    resolve_runtime(device, runtime)
    if config.space is not None:
        get_space(config.space)  # an unknown one is no gap in what is shipped
    absent = None if config.latency else shipped_instead(device, runtime, config.tables)
    if absent is None:
        return choose(config, folder, measured_ms)
    LOG.warning("%s is not at hand, and nothing is measured: %s", device.name, absent)
    choices = choose(config, folder, partial(_shipped_ms, device.name, config.width))
    assert choices.config.space is not None
    model = _model(device.name, choices.config.space)
    error = "" if model.error_percent is None else f", {model.error_percent:g} % off on known networks"
    said = (
        f"latencies are predicted, never measured: {device.name} is not at hand, and {model.name}, which comes with "
        f"hwnas, prices its networks, under the conditions of {model.publication} ({model.figures} figures{error}); "
        f"another build of the runtime may take half as long or twice. Its card: {model.folder / 'README.md'}"
    )
    return Choices(choices.config.model_copy(update={"latency": str(model.folder)}), (*choices.said, said))


def _shipped_ms(device: str, width: float | None, architecture: Architecture) -> float:
    """Where the 90 % interval of a network's latency ends, of a space at some resolution and this width."""
    table = LatencyTable.load(_model(device, architecture.space).folder)
    *_, (last, shape) = architecture.chain()
    classes = last.output_shape(shape)[0]
    space = get_space(architecture.space, architecture.input_shape[1], classes, width)
    return published_predictor(table, space).predict(architecture).high_ms


def _model(device: str, space: str) -> ShippedTable:
    found = shipped_table(device, space)
    if found is None:  # it was there a moment ago
        raise HwnasError(f"nothing that comes with hwnas prices {device} any more; install it again.")
    return found
