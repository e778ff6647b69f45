"""The page of a search: one HTML file that needs nothing else, with what was decided, by what, and what it costs."""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hwnas.files import write_page
from hwnas.space import OneOf, SearchSpace

PAGE_FILE, TEMPLATE = "report.html", "search.html"
GAUGE_PX, BAR_PX = 70, 60
NO_PICTURE = "Not drawn: this method expects no latency while it trains, or matplotlib is not installed."

Json = Mapping[str, Any]


def write_search_page(
    folder: Path, report: Json, space: SearchSpace, indicators: Sequence[Json] = (), picture: Path | None = None
) -> Path:
    """Write the page into a run folder.

    Args:
        folder: of the run.
        report: what its ``report.json`` holds.
        space: that was searched.
        indicators: what superkernels were decided by: see `hwnas.searches.indicator_record`; empty: another method.
        picture: PNG of the expected latency over the steps, taken into the page if it is there.

    Raises HwnasError if the folder cannot be written.
    """
    path = folder / PAGE_FILE
    text = search_page(report, space, indicators, picture)
    write_page(path, text)
    return path


def search_page(report: Json, space: SearchSpace, indicators: Sequence[Json] = (), picture: Path | None = None) -> str:
    """The page as HTML; see `write_search_page`."""
    environment = Environment(loader=PackageLoader("hwnas.report"), autoescape=True, undefined=StrictUndefined)
    gauges = _gauges(indicators)
    drawn = picture is not None and picture.is_file()
    return environment.get_template(TEMPLATE).render(
        title=f"{space.name} within {report['budget_ms']:g} ms on {report['device']} ({_precision(report)} file)",
        verdict=_verdict(report),
        facts=[(name, value) for name, value in _facts(report, space) if value],
        picture=f"data:image/png;base64,{b64encode(picture.read_bytes()).decode()}" if drawn and picture else "",
        no_picture=NO_PICTURE,
        axes=list(dict.fromkeys(str(each["axis"]) for each in indicators)),
        layers=_layers(report, space, gauges),
        total_ms="" if report["price"] is None else f"{report['price']['predicted_ms']:.2f}",
    )


def _verdict(report: Json) -> str:
    if report["predicted_ms"] is None:
        measured = report["measured_ms"][report["runtime"]]
        return f"measured {measured:.4g} ms, {report['status']} the budget; {report['returned']} is returned."
    low, high = report["interval_ms"]
    predicted = f"predicted {report['predicted_ms']:.4g} ms, 90 % interval {low:.4g} to {high:.4g} ms"
    if not report["measured_ms"]:
        return f"{predicted}; not measured."
    measured = report["measured_ms"][report["runtime"]]
    missed = "" if low <= measured <= high else ", which does not hold what was measured"
    return f"measured {measured:.4g} ms, {report['status']} the budget; {predicted}{missed}."


def _facts(report: Json, space: SearchSpace) -> list[tuple[str, str]]:
    images = ", ".join(f"{count} {split}" for split, count in report["images"].items())
    searched = f"{space.name}, input {_shape(space.input_shape)}, {_options(space.options)}"
    return [
        ("code", report["architecture"]["code"]),
        ("method", f"{report['method']}, {report['epochs']} epochs of {images} images"),
        ("searched", searched),
        ("priced as", _priced_as(report)),
        (
            "aimed at",
            "" if report["measured_ms"] else f"{_target_ms(report):.4g} ms, whose interval ends at the budget",
        ),
        ("latency table", report["publication"] or f"{_precision(report)} files, measured on {report['device']}"),
        (
            "accuracy",
            f"{100 * report['accuracy']:.1f} % of the test images, {_judged(report)}{_without_leaked(report)}",
        ),
        ("rounding", report.get("precision_hint") or ""),
        *((f"{model['format']} {model['precision']}", _file_fact(model)) for model in report.get("models", ())),
        *_compared(report),
        ("unused budget", _unused(report)),
        *(("warning", text) for text in report.get("data_warnings", ())),
        ("hint", report.get("budget_hint") or ""),
        ("size as searched", f"{report['macs'] / 1e6:.2f} M MACs, {report['params'] / 1e3:.1f} k parameters"),
    ]


def _priced_as(report: Json) -> str:
    """The network whose price is shown, where it is another one than was found."""
    if report["price"] is None:
        return ""
    found, priced = report["architecture"], report["price"]["architecture"]
    if found["blocks"] == priced["blocks"] and found["input_shape"] == priced["input_shape"]:
        return ""
    return f"{priced['space']}, input {_shape(priced['input_shape'])}: the network of the same code"


def _compared(report: Json) -> list[tuple[str, str]]:
    """What was returned against what one would have picked, or what was searched."""
    searched = [report["searched"] | {"network": "what was searched"}] if report.get("searched") else []
    return [
        (
            f"against {each['network']}",
            f"{100 * each['accuracy']:.1f} % of the test images in {each['measured_ms']:.4g} ms, "
            f"{each['resolution']} px, {each['params'] / 1e3:.1f} k parameters",
        )
        for each in [*searched, *report.get("found_against", ())]
    ]


def _file_fact(model: Json) -> str:
    """What an exported file took, and how many test images it gets right."""
    found = [f"{ms:.4g} ms on {name}" for name, ms in model.get("ms", {}).items()]
    if model.get("accuracy") is not None:
        found.append(f"{100 * model['accuracy']:.1f} % of the test images")
    return ", ".join(found)


def _precision(report: Json) -> str:
    """Of the file that the budget is for."""
    return str(report.get("precision", "float32"))


def _judged(report: Json) -> str:
    """What the accuracy was taken of."""
    if report.get("float_accuracy") is None:
        return "as searched"
    return f"as the {_precision(report)} file, and {100 * report['float_accuracy']:.1f} % in float32"


def _without_leaked(report: Json) -> str:
    share = report.get("accuracy_without_leaked")
    return "" if share is None else f"; {100 * share:.1f} % without those that are copies of images it learnt from"


def _unused(report: Json) -> str:
    """How much of the budget is not used, and why, where that is to be said."""
    derivation = report.get("derivation")
    if not derivation or not derivation["reason"]:
        return ""
    return f"{100 * (1 - derivation['budget_share']):.0f} %: {derivation['reason']}"


def _target_ms(report: Json) -> float:
    """The largest prediction whose interval is within the budget."""
    return float(report["budget_ms"] * report["predicted_ms"] / report["interval_ms"][1])


def _layers(report: Json, space: SearchSpace, gauges: Mapping[str, Mapping[str, list[Json]]]) -> list[Json]:
    """One row per link of the chain; none for a network that is not of the space."""
    if report["price"] is None:
        return []
    blocks = {block["place"]: block for block in report["price"]["blocks"]}
    most_ms = max((block["ms"] for block in blocks.values()), default=1.0)
    rows: list[Json] = []
    for place, node in enumerate(space.nodes):
        decision = node.name if isinstance(node, OneOf) else ""
        block = blocks.get(place, {"spec": "skip", "input_shape": (), "ms": 0.0, "source": ""})
        state = "skipped" if place not in blocks else "decided" if decision else "fixed"
        rows.append(
            {
                "decision": decision or "(fixed)",
                "gauges": gauges.get(decision, defaultdict(list)),
                "state": state,
                "block": block["spec"],
                "input": _shape(block["input_shape"]),
                "ms": f"{block['ms']:.3f}",
                "bar": round(BAR_PX * max(0.0, block["ms"]) / most_ms, 1),
                "source": block["source"],
            }
        )
    return rows


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


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in options.items())
