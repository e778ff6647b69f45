"""The words of a run's page: the network in a sentence, unusual facts, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hwnas.report.file_facts import file_size
from hwnas.report.page_charts import accuracy_interval, percents
from hwnas.report.recorded import budget_status

CLASSES_NAMED = 12
"""So many classes are named in the first sentences; more are counted."""
SAME_SPEED_PERCENT = 2.0
"""A machine whose reference model differs by less is as fast as it was."""

Json = Mapping[str, Any]


def headline(report: Json) -> str:
    """The network in one sentence."""
    classes = report.get("classes") or ()
    what = f"tells {len(classes)} classes apart" if classes else "sorts images into classes"
    return (
        f"This network {what} in {_speed(report)} on {_device(report)} "
        f"and gets {100 * report['accuracy']:.1f} % of the test images right."
    )


def _speed(report: Json) -> str:
    ms = report["measured_ms"].get(report["runtime"])
    return f"{report['predicted_ms']:.3g} ms (predicted)" if ms is None else f"{ms:.3g} ms"


def device_name(report: Json) -> str:
    """The device as a person calls it: it may have been given as a file."""
    return PurePath(report["device"]).name.removesuffix(".toml")


def _device(report: Json) -> str:
    """The device, with its processor where its name says nothing."""
    cpu = (report.get("conditions") or {}).get(report["runtime"], {}).get("identity", {}).get("cpu")
    return f"this computer ({cpu})" if device_name(report) == "local" and cpu else device_name(report)


def class_names(report: Json) -> str:
    """The classes, the first of them where there are many."""
    classes = list(report.get("classes") or ())
    more = f" and {len(classes) - CLASSES_NAMED} more" if len(classes) > CLASSES_NAMED else ""
    return ", ".join(classes[:CLASSES_NAMED]) + more


def verdict(report: Json) -> str:
    """How it did against its budget and against what was predicted."""
    predicted = ""
    if report["predicted_ms"] is not None:
        low, high = report["interval_ms"]
        predicted = f"predicted {report['predicted_ms']:.4g} ms, 90 % interval {low:.4g} to {high:.4g} ms"
    measured = report["measured_ms"].get(report["runtime"])
    if measured is None:
        return f"{predicted or 'not predicted'}; never measured."
    file = "" if report.get("precision", "float32") == "float32" else f" by the {report['precision']} file"
    return f"measured {measured:.4g} ms{file}, {budget_status(report)} the budget" + (
        f"; {predicted}." if predicted else "."
    )


def tiles(report: Json, exported: Json) -> list[Json]:
    """The three figures of the first screen: name, value, and what is to be known of it."""
    return [_latency_tile(report), _accuracy_tile(report), _size_tile(report, exported)]


def _latency_tile(report: Json) -> Json:
    ms, budget_ms = report["measured_ms"].get(report["runtime"]), report["budget_ms"]
    if ms is None:
        told = f"predicted; the budget is {budget_ms:g} ms. A prediction of {_target_ms(report)} would just keep it."
        return {"name": "Latency", "value": f"{report['predicted_ms']:.3g} ms", "told": told, "state": "predicted"}
    share = 100 * ms / budget_ms
    status = budget_status(report)
    told = f"measured, {status} the budget of {budget_ms:g} ms: {share:.0f} % of it"
    return {"name": "Latency", "value": f"{ms:.3g} ms", "told": told, "state": status}


def _target_ms(report: Json) -> str:
    """The largest prediction whose interval is within the budget."""
    return f"{report['budget_ms'] * report['predicted_ms'] / report['interval_ms'][1]:.4g} ms"


def _accuracy_tile(report: Json) -> Json:
    images = report.get("images", {}).get("test")
    interval = accuracy_interval(report["accuracy"], images)
    told = "of the test images"
    if images and interval:
        right = round(report["accuracy"] * images)
        told = f"{right:,} of {images:,} test images; on other such images {percents(interval)} (95 % interval)"
    if report.get("float_accuracy") is not None:
        told += f"; this is of the {report['precision']} file, float32 gets {100 * report['float_accuracy']:.1f} %"
    return {"name": "Accuracy", "value": f"{100 * report['accuracy']:.1f} %", "told": told, "state": ""}


def limit_rows(report: Json) -> list[Json]:
    """Every limit where there are several, and what is taken of it."""
    return [{key: each[key] for key in ("name", "told", "status")} for each in report.get("limits") or ()]


def _size_tile(report: Json, exported: Json) -> Json:
    files = [file["bytes"] for file in exported.get("files") or report.get("models", ()) if file.get("bytes")]
    size = f"{report['macs'] / 1e6:.2f} M multiply-adds, {report['params'] / 1e3:,.1f} k parameters"
    if not files:
        return {"name": "Size", "value": f"{report['params'] / 1e3:,.0f} k", "told": f"parameters; {size}", "state": ""}
    smallest = f"the smallest file; {size}"
    return {"name": "Size", "value": file_size(min(files)), "told": smallest, "state": ""}


def notes(report: Json, exported: Json) -> list[Json]:
    """Everything unusual, in plain words; the worst first."""
    worse = [*_latency_warnings(report), *report.get("data_warnings", ())]
    for file in exported.get("files", ()):
        worse += [f"{file['path']}: {text}" for text in file.get("warnings", ())]
    told = [("warning", text) for text in worse] + [("note", text) for text in _remarks(report) if text]
    return [{"kind": kind, "text": text} for kind, text in told]


def _latency_warnings(report: Json) -> list[str]:
    measured = report["measured_ms"].get(report["runtime"])
    found = []
    if measured is None:
        publication = report.get("publication")
        why = f"{publication} gives the ms of its parts" if publication else "there was no device"
        return [f"It was not measured: {why}."]
    if budget_status(report) == "over":
        rest = " It is the fastest network of the space." if report.get("is_fastest") else ""
        found.append(f"It measures {measured:.4g} ms, over the budget of {report['budget_ms']:g} ms.{rest}")
    further = (report.get("limits") or ())[1:]
    found += [f"It is over a limit, {each['name']}: {each['told']}." for each in further if each["status"] == "over"]
    for each in report.get("frontier") or ():
        if each.get("status") == "over":
            found.append(f"That for {each['budget_ms']:g} ms measures {each['measured_ms']:.4g} ms, over its budget.")
    if report["predicted_ms"] is not None:
        low, high = report["interval_ms"]
        if not low <= measured <= high:
            off = 100 * (measured / report["predicted_ms"] - 1)
            found.append(
                f"It measured {measured:.4g} ms, outside the predicted interval of {low:.4g} to {high:.4g} ms: "
                f"{abs(off):.1f} % {'more' if off > 0 else 'less'} than predicted. {_drift(report)}"
            )
    return found


def _drift(report: Json) -> str:
    """How fast the machine was, compared with when the table was measured."""
    drift = report.get("drift_percent")
    if drift is None:
        return "How fast the machine was for the latency table is not recorded."
    if abs(drift) < SAME_SPEED_PERCENT:
        return f"The machine was as fast as for the latency table ({drift:+.1f} % by the reference model)."
    slower = "slower" if drift > 0 else "faster"
    return f"The machine was {abs(drift):.1f} % {slower} than for the latency table, by the reference model."


def _remarks(report: Json) -> list[str]:
    searched, returned = report.get("searched"), report.get("returned") or "found"
    leaked = report.get("accuracy_without_leaked")
    return [
        ""
        if returned == "found"
        else f"{returned} is returned, a known network: it got more validation images right than the one found"
        + (f", which gets {100 * searched['accuracy']:.1f} % of the test images right." if searched else "."),
        report.get("budget_hint") or "",
        _sentence((report.get("int8_fine_tuning") or {}).get("told")),
        report.get("precision_hint") or "",
        unused(report),
        ""
        if leaked is None
        else f"Without the test images copied from training or validation, {100 * leaked:.1f} % are right.",
        *(f"Chosen: {text}." for text in report.get("chosen", ())),
    ]


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def unused(report: Json) -> str:
    """How much of the budget is not used, and why, where that is to be said."""
    told, derivation = report.get("unused"), report.get("derivation")
    if "unused" not in report and derivation and derivation["reason"]:  # of an earlier version
        told = f"{100 * (1 - derivation['budget_share']):.0f} % of the budget: {derivation['reason']}"
    return f"Not used: {told}." if told else ""


def search_facts(report: Json, searched: str) -> list[tuple[str, str]]:
    """The space, the method, the images and the time of the search."""
    images = ", ".join(f"{count:,} {split}" for split, count in report.get("images", {}).items())
    seconds = report.get("seconds")
    rows = [
        ("method", f"{report['method']}, {report['epochs']} epochs" if report.get("method") else ""),
        ("images", images),
        ("searched", searched),
        ("code", report["architecture"]["code"]),
        ("priced as", _priced_as(report)),
        ("latency table", report.get("publication") or f"measured on {device_name(report)}"),
        ("took", f"{seconds / 60:.0f} minutes" if seconds and seconds >= 90 else f"{seconds:.0f} s" if seconds else ""),
    ]
    return [(name, value) for name, value in rows if value]


def _priced_as(report: Json) -> str:
    """The network whose price is shown, where it is another one than was found."""
    if report["price"] is None:
        return ""
    found, priced = report["architecture"], report["price"]["architecture"]
    if found["blocks"] == priced["blocks"] and found["input_shape"] == priced["input_shape"]:
        return ""
    shape = "x".join(map(str, priced["input_shape"]))
    return f"{priced['space']}, input {shape}: the network of the same code"


def trust(report: Json) -> list[tuple[str, str]]:
    """How far off the predictor was on networks that it had not seen."""
    card = report.get("card") or {}

    def percent(name: str) -> str:
        return "" if card.get(name) is None else f"{card[name]:.1f} %"

    rows = [
        ("mean error", percent("mape")),
        ("noise of measuring", percent("noise_floor")),
        ("within 5 % / 10 %", " / ".join(filter(None, (percent("hit5"), percent("hit10"))))),
        ("inside their 90 % interval", percent("coverage90")),
        ("rank correlation", "" if card.get("spearman") is None else f"{card['spearman']:.3f} (Spearman)"),
        ("fitted to", f"{card['n_blocks']} blocks, {card['n_networks']} whole networks" if "n_blocks" in card else ""),
        ("predictor", card.get("predictor") or ""),
        ("evaluated by", card.get("protocol") or ""),
    ]
    return [(name, value) for name, value in rows if value]


CONDITIONS = ("cpu", "system", "architecture", "runtime_version", "threads", "cores", "batch")
CIRCUMSTANCES = ("governor", "load_average", "temperature_celsius", "battery_percent", "date")


def conditions(report: Json) -> list[Json]:
    """The conditions of the measurements, by runtime, as far as they are known."""
    found: list[Json] = []
    for runtime, each in (report.get("conditions") or {}).items():
        rows = [(name, each.get("identity", {}).get(name)) for name in CONDITIONS]
        rows += [(name, each.get("circumstances", {}).get(name)) for name in CIRCUMSTANCES]
        shown = [(name.replace("_", " "), _value(value)) for name, value in rows if value is not None]
        found.append({"runtime": runtime, "rows": shown})
    return found


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
