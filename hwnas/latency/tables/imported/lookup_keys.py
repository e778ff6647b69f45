"""Tables of ProxylessNAS and Once-for-All: a mean per block, under keys such as
``expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0``, as YAML or as CSV.

The two differ in the meaning of ``expand``: the ratio of ProxylessNAS, the expanded channels of Once-for-All, whose
keys also say ``se`` and ``hs`` (squeeze-and-excitation, hard swish).
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

from hwnas.errors import HwnasError
from hwnas.latency.tables.imported.content import Content
from hwnas.latency.tables.imported.rows import Publication, Rows, checked_block, published_latency
from hwnas.specs.conv import Conv
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Shape, Spec, check_shape
from hwnas.text import excerpt

PROXYLESSNAS = Publication(
    name="proxylessnas",
    title="ProxylessNAS, arXiv 1812.00332",
    source="github.com/han-cai/files, proxylessnas/mobile_trim.yaml",
    licence="none stated: figures only, not to be passed on",
    runtime="TFLite",
    protocol="mean over 79 to 982 samples a block; what spread its column var holds is doubtful",
)
ONCE_FOR_ALL = Publication(
    name="once-for-all",
    title="Once-for-All, arXiv 1908.09791",
    source="github.com/han-cai/files, ofa/note10/RESOLUTION_lookup_table.yaml",
    licence="none stated: figures only, not to be passed on",
    runtime="TFLite",
    protocol="mean over 38 to 500 samples a block",
)
EXAMPLE = (
    'YAML "expanded_conv-input:14x14x80-output:14x14x96-expand:3-kernel:3-stride:1-idskip:0: {mean: 1.96, count: 145}" '
    'or CSV with the columns "key", "mean_ms", "count"'
)

KEY = re.compile(
    r"(?P<kind>\w+)-input:(?P<height>\d+)x(?P<width>\d+)x(?P<channels>\d+)-output:(?:(?P<out_height>\d{1,6})x(?P<out_width>\d{1,6})x)?(?P<outputs>\d+)"
    r"(?:-expand:(?P<expand>\d+)-kernel:(?P<kernel>\d+)-stride:(?P<stride>[12])-idskip:(?P<idskip>[01])"
    r"(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?)?"
)
SQUEEZE_RATIO = 0.25
MOST_DIGITS = 6
"""Of a size in a key."""
FIRST_KERNEL, FIRST_STRIDE = 3, 2
"""Of the stem, which its key leaves out."""


def recognises(content: Content) -> bool:
    """Whether keys are of this kind."""
    has_columns = {"key", "mean_ms", "count"} <= set(content.columns)
    keys = [row["key"] for row in content.data[:100]] if has_columns else list(_mapping(content))[:100]
    return any(isinstance(key, str) and KEY.fullmatch(key) for key in keys)


def read(content: Content, _device: str | None) -> Rows:
    """Every row that is one Spec: MBConv blocks, and the convolutions around them.

    Raises HwnasError for a key or a latency that cannot be read.
    """
    entries = _entries(content)
    expanded = any("-hs:" in str(key) for _, key, _ in entries)
    rows = Rows(ONCE_FOR_ALL if expanded else PROXYLESSNAS, "galaxy-note10" if expanded else "pixel-1")
    rows.notes = ["Numbers are means." + (" The spread is the table's own." if expanded else " No spread is kept.")]
    if not expanded:
        rows.notes.append("Keys do not name the activation; ReLU6 is that of the authors' networks.")
    for place, key, values in entries:
        match = KEY.fullmatch(str(key))
        if match is None or not isinstance(values, dict):
            raise HwnasError(f"{place}: {excerpt(key)} is no key of a block with its mean and count.")
        if missing := [name for name in ("mean", "count") if values.get(name) in (None, "")]:
            raise HwnasError(f"{place}: {' and '.join(missing)} of {excerpt(key)} is missing; fetch the file again.")
        std = values.get("std")
        latency = published_latency(place, values["mean"], count=values["count"], std=0.0 if std in (None, "") else std)
        spec, shape = checked_block(place, partial(_block_of, match, expanded))
        if isinstance(spec, Spec):
            rows.add((spec, shape), latency)
        else:
            rows.leave_out(spec)
    repeated = rows.mapped - len(rows.blocks)
    if repeated:
        rows.notes.append(f"{repeated} rows repeat a block for another image size; their mean is kept.")
    return rows


def _entries(content: Content) -> list[tuple[str, Any, Any]]:
    """Where each row is, its key, and its ``{"mean": ms, "count": ..., "std": ms}``.

    Raises HwnasError for a row that is there twice: in CSV a key may be repeated for another image size.
    """
    if not {"key", "mean_ms", "count"} <= set(content.columns):
        return [(f"{content.name}, {excerpt(key)}", key, values) for key, values in _mapping(content).items()]
    content.check_once("key", "resolution_px")
    named = {"mean": "mean_ms", "count": "count", "std": "std_ms"}
    return [
        (f"{content.name}, line {line}", row["key"], {name: row.get(column) for name, column in named.items()})
        for line, row in zip(content.lines, content.data, strict=True)
    ]


def _mapping(content: Content) -> dict[Any, Any]:
    return content.data if isinstance(content.data, dict) else {}


def _block_of(match: re.Match[str], expanded: bool) -> tuple[Spec | str, Shape]:
    """The block of a key, or why there is none, and the shape of its input. Raises HwnasError for a wrong size."""
    sizes = {name: match[name] for name in ("channels", "height", "width", "outputs", "expand", "kernel")}
    for name, digits in sizes.items():
        if digits is not None and len(digits) > MOST_DIGITS:
            raise HwnasError(f"{name} has {len(digits):,} digits, and no size has more than {MOST_DIGITS}.")
    spec = _spec_of(match, expanded)
    shape = (int(match["channels"]), int(match["height"]), int(match["width"]))
    check_shape(shape)
    if isinstance(spec, Spec) and match["out_height"]:
        said = (int(match["out_height"]), int(match["out_width"]))
        if spec.output_shape(shape)[1:] != said:
            raise HwnasError(f"{spec} gives {spec.output_shape(shape)[1:]} from {shape[1:]}, and not {said}, as said.")
    return spec, shape


def _spec_of(match: re.Match[str], expanded: bool) -> Spec | str:
    """The block of a key, or why there is none."""
    kind, channels, outputs = match["kind"], int(match["channels"]), int(match["outputs"])
    activation = "hard_swish" if expanded else "relu6"
    if kind == "Conv":
        return Conv(channels, outputs, FIRST_KERNEL, FIRST_STRIDE, activation)
    if kind in ("Conv_1", "Conv_2"):
        return Conv(channels, outputs, kernel=1, activation=activation)
    if kind != "expanded_conv" or match["expand"] is None:
        return f"{kind}: a part of the classifier, which hwnas has as one block"
    ratio = int(match["expand"]) / channels if expanded else int(match["expand"])
    if not math.isclose(ratio, round(ratio)) or ratio < 1:
        return "expanded channels that are no multiple of the input's"
    stride = int(match["stride"])
    if (match["idskip"] == "1") != (stride == 1 and channels == outputs):
        return "a residual connection where hwnas has none, or none where hwnas has one"
    if expanded:
        activation = "hard_swish" if match["hs"] == "1" else "relu"
    squeeze = SQUEEZE_RATIO if match["se"] == "1" else 0.0
    return MBConv(channels, outputs, int(match["kernel"]), round(ratio), stride, activation, squeeze)
