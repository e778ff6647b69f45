"""The layers of a network on its page: a strip with a bar for each block, and the same as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.spec import Spec
from hwnas.specs.two_input_cell import TwoInputCell

GAUGE_PX, BAR_PX = 70, 60
STRIP_PX = 110
"""Height of the tallest bar of a strip."""
LEAST_COLUMN_PX = 17
"""As wide is a bar of a strip at least: where they do not fit, the strip scrolls."""

Json = Mapping[str, Any]


def layer_rows(report: Json, space: SearchSpace | None, indicators: Sequence[Json] = ()) -> list[Json]:
    """One row per link of the chain: the block, its ms, and the evidence of its decision.

    Args:
        report: ``report.json`` of a run.
        space: that was searched; None: the names of its decisions are not known.
        indicators: see `hwnas.searches.indicator_record`.
    """
    price = report.get("price")
    architecture = Architecture.from_json((price or report)["architecture"], "the architecture of the report")
    nodes = () if space is None or price is None else space.nodes
    names = list(map(_decided_by, nodes))
    names += [""] * (len(architecture.blocks) - len(names))
    costs = {block["place"]: block for block in (price or {}).get("blocks", ())}
    gauges = _gauges(indicators)
    most_ms = max((block["ms"] for block in costs.values()), default=0.0) or 1.0
    rows: list[Json] = []
    for place, (spec, shape) in enumerate(architecture.chain()):
        skipped = spec.is_identity
        cost = costs.get(place)
        ms = (0.0 if skipped else None) if cost is None else cost["ms"]
        table_ms = None if cost is None else cost.get("table_ms")
        rows.append(
            {
                "number": place + 1,
                "decision": names[place] or "(fixed)",
                "gauges": gauges.get(names[place], defaultdict(list)),
                "state": "skipped" if skipped else "decided" if names[place] or not nodes else "fixed",
                "block": "skip" if skipped else str(spec),
                "label": label(spec),
                "input": "x".join(map(str, shape)),
                "ms": ms,
                "table_ms": table_ms,
                "macs": sum(part.macs(size) for part, size in spec.parts(shape)),
                "bar": round(BAR_PX * max(0.0, ms or 0.0) / most_ms, 1),
                "source": "" if cost is None else cost["source"],
            }
        )
    return rows


def _decided_by(node: Spec | OneOf) -> str:
    """The name of a block's decision; of a cell, how many of its edges or nodes are decided; nothing: it is fixed."""
    if isinstance(node, OneOf):
        return node.name
    parts = {name: getattr(node, name, ()) for name in ("edges", "nodes")}
    counts = {name: sum(isinstance(part, OneOf) for part in found) for name, found in parts.items()}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def strip(rows: Sequence[Json]) -> Json:
    """The bars of the rows: their height by ms or, where no ms is known, by multiply-adds."""
    by_ms = any(row["ms"] for row in rows)
    sizes = [max(0.0, (row["ms"] or 0.0) if by_ms else row["macs"]) for row in rows]
    most, width = max(sizes, default=0.0) or 1.0, 100 / max(1, len(rows))
    columns = []
    for place, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        cost = f"{row['ms']:.3f} ms predicted" if row["ms"] is not None else f"{row['macs'] / 1e6:.2f} M multiply-adds"
        measured = "" if row["table_ms"] is None else f", {row['table_ms']:.3f} ms in the table"
        told = "skipped, costs nothing" if row["state"] == "skipped" else f"{row['block']}: {cost}{measured}"
        columns.append(
            {
                "x": round(place * width, 3),
                "middle": round((place + 0.5) * width, 3),
                "width": round(0.84 * width, 3),
                "height": round(STRIP_PX * size / most, 1),
                "share": round(0.35 + 0.65 * size / most, 2),
                "told": f"{row['number']}: {told}; input {row['input']}",
                "label": row["label"],
                "state": row["state"],
            }
        )
    total = sum(sizes)
    return {
        "columns": columns,
        "height": STRIP_PX,
        "least_px": LEAST_COLUMN_PX * len(rows),
        "by_ms": by_ms,
        "told": f"{len(rows)} blocks, {sum(row['state'] == 'skipped' for row in rows)} of them skipped, "
        + (f"{total:.3f} ms in all" if by_ms else f"{total / 1e6:.1f} M multiply-adds in all"),
    }


def label(spec: Spec) -> str:
    """Kernel, expansion and output channels of a block, as short as a bar is wide."""
    if spec.is_identity:
        return "skip"
    kernel, expand = getattr(spec, "kernel", None), getattr(spec, "expand", None)
    channels = getattr(spec, "out_channels", None) or getattr(spec, "num_classes", None)
    if isinstance(spec, Cell | TwoInputCell):
        kind = "cell" if isinstance(spec, Cell) else "reduction cell" if spec.reduction else "normal cell"
        return f"{kind} →{spec.channels * (1 if isinstance(spec, Cell) else len(spec.concat))}"
    parts = [
        "" if spec.kind in ("mbconv", "fused_mbconv") and kernel else spec.kind.replace("_", " "),
        f"k{kernel}" if isinstance(kernel, int) else "",
        f"e{expand:g}" if isinstance(expand, int | float) else "",
        "se" if getattr(spec, "se_ratio", 0) else "",
        f"→{channels}" if isinstance(channels, int) else "",
    ]
    return " ".join(filter(None, parts))


def _gauges(indicators: Sequence[Json]) -> dict[str, dict[str, list[Json]]]:
    """By decision and axis: each indicator's size and threshold in pixels of a gauge that the larger one fills."""
    gauges: dict[str, dict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for each in indicators:
        full = max(each["size"], each["threshold"], 1e-12)
        on = each["slack"] >= 0
        gauges[each["decision"]][each["axis"]].append(
            {
                "told": f"{each['choice']} {each['size']:.3g} {'≥' if on else '<'} {each['threshold']:.3g}",
                "on": on,
                "size": round(GAUGE_PX * max(0.0, each["size"]) / full, 1),
                "threshold": round(GAUGE_PX * max(0.0, each["threshold"]) / full + 1, 1),
                "label": f"{each['choice']}: size {each['size']:.4g}, threshold {each['threshold']:.4g}, "
                f"{'on' if on else 'off'}",
            }
        )
    return gauges
