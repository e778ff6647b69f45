"""nn-Meter's tables of blocks: ``conv_INPUT_IN_OUT_EXPAND_STRIDE_ACTIVATION_KERNEL_SE`` -> ms, as JSON of one phone or
as CSV with a column per phone.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.tables.imported.content import Content
from hwnas.latency.tables.imported.rows import Publication, Rows, checked_block, published_latency
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import ACTIVATIONS, Shape, Spec
from hwnas.text import excerpt

PUBLICATION = Publication(
    name="nn-meter",
    title="nn-Meter, tables of its transformer predictor",
    source="github.com/microsoft/nn-Meter, nn_meter/predictor/transformer_predictor/lut/PHONE_lut_ln_v3.json",
    licence="MIT",
    runtime="TFLite",
    protocol="each block as a network of its own, timed with benchmark_model; which build, delegate and cores is open",
)
EXAMPLE = 'JSON {"conv_56_24_24_6_1_hard_swish_3_nose": 1.23} or CSV with the columns "key", "pixel1_ms", "pixel4_ms"'

KEY = re.compile(r"conv_(\d{1,6})_(\d{1,6})_(\d{1,6})_(\d{1,6})_([12])_([a-z_0-9]+?)_(\d{1,6})_(se|nose)")
SQUEEZE_RATIO = 0.25


def recognises(content: Content) -> bool:
    """Whether keys are of this kind."""
    if content.columns:
        return "key" in content.columns and bool(KEY.fullmatch(str(content.data[0]["key"])))
    return isinstance(content.data, dict) and any(KEY.fullmatch(str(key)) for key in content.data)


def read(content: Content, device: str | None) -> Rows:
    """Every row that is one MBConv, for one phone.

    Args:
        content: of the file.
        device: the phone; of a CSV it chooses the column (``pixel-1`` is ``pixel1_ms``), JSON holds one phone.

    Raises:
        UsageError: no device, or one that a CSV has no column for.
        HwnasError: a latency that cannot be read.
    """
    rows = Rows(PUBLICATION, device)
    rows.notes = [
        "Built as the authors' code builds them, blocks that change the channels have a shortcut convolution besides, "
        "and squeeze-and-excitation has a quarter of the channels, not rounded: such rows are no MBConv of hwnas."
    ]
    for place, key, ms in _entries(content, device):
        latency = published_latency(place, ms)
        match = KEY.fullmatch(key)
        if match is None:
            rows.leave_out(f"{key.split('_')[0][:40]}: no MBConv")
            continue
        spec, shape = checked_block(place, partial(_block_of, match))
        if isinstance(spec, Spec):
            rows.add((spec, shape), latency)
        else:
            rows.leave_out(spec)
    return rows


def _block_of(match: re.Match[str]) -> tuple[Spec | str, Shape]:
    """The block of a key, or why there is none, and the shape of its input. Raises HwnasError for a wrong size."""
    side, channels, outputs, expand, stride, kernel = (int(match[i]) for i in (1, 2, 3, 4, 5, 7))
    shape = (channels, side, side)
    if match[6] not in ACTIVATIONS:
        return f"activation {match[6]}", shape
    if channels != outputs:
        return "a shortcut convolution, which hwnas' MBConv has not", shape
    ratio = SQUEEZE_RATIO if match[8] == "se" else 0.0
    spec = MBConv(channels, outputs, kernel, expand, stride, match[6], ratio)
    if ratio and spec.squeezed_channels != spec.hidden_channels // 4:
        return "squeezed channels that are no multiple of 8", shape
    return spec, shape


def _entries(content: Content, device: str | None) -> list[tuple[str, str, Any]]:
    """Where each row is, its key and its ms. Raises HwnasError for a key that is there twice, or a missing value."""
    phones = {name.removesuffix("_ms"): name for name in content.columns if name.endswith("_ms")}
    if device is None:
        has = f"holds {', '.join(phones)}" if phones else "does not say of which phone it is"
        raise UsageError(f"{content.name} {has}; name the phone, such as --device pixel-4.")
    if not content.lines:
        return [(f"{content.name}, {excerpt(key)}", str(key), ms) for key, ms in content.data.items()]
    if device.replace("-", "") not in phones:
        raise UsageError(f"{content.name} has no column for {device}; it holds {', '.join(phones)}.")
    column = phones[device.replace("-", "")]
    missing = [row["key"] for row in content.data if not row[column]]
    if missing:
        raise HwnasError(f"{content.name}, column {column}: {len(missing)} rows have no value, such as {missing[0]}.")
    content.check_once("key")
    return [(content.place(i, column), row["key"], row[column]) for i, row in enumerate(content.data)]
