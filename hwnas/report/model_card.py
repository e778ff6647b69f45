"""The model card: CARD.md beside exported files, what an engineer needs to put them into an app, and to trust them.

It is made of ``export.json`` and, after a design, of its report. Nothing in it names a folder, a user or a machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from hwnas.errors import HwnasError
from hwnas.exporter.exported import CARD_FILE, EXPORT_FILE
from hwnas.files import read_json, write_page
from hwnas.report.snippets import Usage, snippets

CLASSES_SHOWN = 50

Json = dict[str, Any]


def write_model_card(folder: Path, report: Json | None = None, licence: str | None = None) -> Path:
    """Write CARD.md into a folder of exported files.

    Args:
        folder: With the files and their ``export.json``.
        report: The ``report.json`` of the design of the network; None: it was not measured.
        licence: Of the model, as its owner words it.

    Returns:
        The card.

    Raises:
        HwnasError: There is no ``export.json``, it is damaged, or the folder cannot be written.
    """
    exported, path = read_json(folder / EXPORT_FILE, "the model card"), folder / CARD_FILE
    try:
        text = model_card(exported, report or {}, licence)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise HwnasError(
            f"the model card: {folder / EXPORT_FILE} lacks what a card is made of ({error!r}); export again."
        ) from error
    write_page(path, text)
    return path


def model_card(exported: Json, report: Json, licence: str | None = None) -> str:
    """The card as Markdown, of the JSON of an export and of a design ({}: none)."""
    sections = {
        "Latency": _latency(report),
        "Files": _files(exported["files"], report),
        "Input and output": _ends(exported, report),
        "Data": _data(exported, report),
        "Use": _use(exported, report),
        "Inside": _inside(exported, report),
        "Licence": [_text(licence) if licence else "Not stated."],
        "Made with": [", ".join(f"{name} {found}" for name, found in exported["versions"].items() if found)],
    }
    parts = [
        f"# {_title(exported, report)}",
        *(f"## {name}\n\n" + "\n".join(lines) for name, lines in sections.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _title(exported: Json, report: Json) -> str:
    architecture = exported.get("architecture") or {}
    name = f"A network of the space {_text(architecture['space'])}" if architecture.get("space") else "A network"
    device = PurePath(report.get("device", "")).name.removesuffix(".toml")  # it may have been given as a file
    return f"{name} for {_text(device)}" if device else name


def _latency(report: Json) -> list[str]:
    if not report.get("measured_ms"):
        return ["Not measured. `hwnas bench FILE --device NAME` does."]
    target, measured = report["runtime"], report["measured_ms"]
    predicted, (low, high) = report["predicted_ms"], report["interval_ms"]
    error = 100 * (predicted - measured[target]) / measured[target]
    missed = "" if low <= measured[target] <= high else " **What was measured is outside this interval.**"
    lines = [
        f"Budget {report['budget_ms']:g} ms on {target}: measured **{measured[target]:.4g} ms, {report['status']} the "
        f"budget**. Predicted before: {predicted:.4g} ms ({error:+.1f} %), 90 % interval {low:.4g} to {high:.4g} ms."
        f"{missed}",
        "",
        "| runtime | median of one inference, float32 file | conditions |",
        "| --- | --- | --- |",
    ]
    conditions = report.get("conditions", {})
    return lines + [f"| {name} | {ms:.4g} ms | {_conditions(conditions.get(name))} |" for name, ms in measured.items()]


def _conditions(conditions: Json | None) -> str:
    if conditions is None:
        return "not recorded"
    identity, circumstances = conditions["identity"], conditions["circumstances"]
    found = (
        identity.get("cpu"),
        f"{identity.get('system')} {identity.get('architecture')}",
        f"version {identity.get('runtime_version')}",
        f"threads: {identity.get('threads')}",
        f"cores: {identity.get('cores')}",
        f"batch: {identity.get('batch')}",
        circumstances.get("date"),
    )
    return _text("; ".join(str(value) for value in found if value))


def _files(files: Sequence[Json], report: Json) -> list[str]:
    lines = [
        "| file | precision | size | accuracy (95 %) | points lost | same class | from PyTorch | SHA-256 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for file in files:
        accuracy = file.get("accuracy")
        shown, same = "not measured", ""
        if accuracy:
            same = f"{accuracy['agrees_with_pytorch']:.1%}"
            low, high = accuracy["interval_95"]
            shown = f"{accuracy['accuracy']:.1%} ({low:.1%} to {high:.1%} of {accuracy['images']} images)"
        loss = "" if file.get("loss_points") is None else f"{file['loss_points']:+.2f}"
        lines.append(
            f"| `{file['path']}` | {file['precision']} | {file['bytes'] / 1024:,.1f} KiB | {shown} | {loss} "
            f"| {same} | {file['max_relative_error']:.0e} | `{file['sha256']}` |"
        )
    lines += ["", "*From PyTorch*: largest difference to what PyTorch computes, relative to the largest output."]
    lines.append("*Same class*: test images that get the class which PyTorch gives them, right or wrong.")
    if report.get("accuracy") is not None:
        lines.append(f"The network in PyTorch gets {report['accuracy']:.1%} of the test images right.")
    if report.get("accuracy_without_leaked") is not None:
        share = report["accuracy_without_leaked"]
        lines.append(f"Without the copies of what it learnt from, which the table leaves out: {share:.1%}.")
    return lines


def _ends(exported: Json, report: Json) -> list[str]:
    mean, std = _normalisation(exported, report)
    lines = []
    for file in _one_per_format(exported["files"]):
        source, target = file["input"], file["output"]
        lines.append(
            f"- `.{file['format']}`: input `{_text(source['name'])}` {source['dtype']} {source['shape']}"
            f"{' ' + source['layout'] if source['layout'] else ''}, output `{_text(target['name'])}` {target['dtype']} "
            f"{target['shape']}"
        )
    if exported.get("normalisation_inside"):
        lines.append("- Pixels: RGB, 0 to 255, as they are; the normalisation is inside.")
    elif std:
        lines.append(f"- Pixels: RGB, `(pixel / 255 - mean) / std` with mean {list(mean)} and std {list(std)}.")
    else:
        lines.append("- Normalisation of the pixels: not recorded; as in training.")
    classes = _classes(exported, report)
    lines.append(f"- Output: {exported['output']}, one per class.")
    if classes:
        more = f" ... ({len(classes)} in all)" if len(classes) > CLASSES_SHOWN else ""
        listed = ", ".join(f"{i} {_text(name)}" for i, name in enumerate(classes[:CLASSES_SHOWN]))
        lines.append(f"- Classes: {listed}{more}")
    return lines


def _data(exported: Json, report: Json) -> list[str]:
    lines = [f"- {_text(str(name))}: {count} images" for name, count in (report.get("images") or {}).items()]
    if calibration := exported.get("calibration"):
        lines.append(
            f"- Calibration of int8: {calibration['images']} training images, seed {calibration['seed']}, SHA-256 of "
            f"their pixels `{calibration['pixels_sha256']}`"
        )
    return lines + _findings(report.get("data") or {}) or ["Not recorded."]


def _findings(data: Json) -> list[str]:
    """Faults of the data, counted: names of files may be private."""
    leaked, left_out = data.get("leaked", {}), [*data.get("left_out", {}).values(), *data.get("skipped", {}).values()]
    counts = {
        "test images are copies of images that it learnt from": leaked.get("test", {}).get("count"),
        "validation images are copies of training images": leaked.get("val", {}).get("count"),
        "pictures are in more than one class": data.get("contradictory", {}).get("count"),
        "files of the folder were left out": sum(found["count"] for found in left_out),
    }
    return [f"- {count} {what}" for what, count in counts.items() if count]


def _use(exported: Json, report: Json) -> list[str]:
    mean, std = _normalisation(exported, report)
    lines: list[str] = []
    for file in _one_per_format(exported["files"]):
        source = file["input"]
        usage = Usage(
            file=file["path"],
            shape=tuple(source["shape"]),
            input_name=source["name"],
            output_name=file["output"]["name"],
            pixels=source["dtype"] == "uint8",
            mean=mean,
            std=std,
            labels=_classes(exported, report),
        )
        lines += [f"### {file['path']}", ""]
        for language, (code, text) in snippets(usage).items():
            lines += [f"{language}:", "", f"```{code}", text, "```", ""]
    return [*lines, "The other files of a format are used in the same way."]


def _inside(exported: Json, report: Json) -> list[str]:
    lines = []
    if report.get("macs"):
        lines.append(f"{report['macs'] / 1e6:,.2f} M multiply-accumulates, {report['params']:,} parameters.\n")
    for file in exported["files"]:
        operators = ", ".join(f"{count} {_text(kind)}" for kind, count in file["operators"].items())
        pieces = file.get("partitions")
        taken = "" if pieces is None else f" XNNPACK takes it in {pieces} piece{'s' if pieces != 1 else ''}"
        taken += f", {file['outside_partitions']} operators are outside." if file.get("outside_partitions") else "."
        lines.append(f"- `{file['path']}`: {operators}.{taken if pieces is not None else ''}")
        lines += [f"  - {_text(warning)}" for warning in file.get("warnings", ())]
    return lines


def _one_per_format(files: Iterable[Json]) -> list[Json]:
    """The first file of each format."""
    first: dict[str, Json] = {}
    for file in files:
        first.setdefault(file["format"], file)
    return list(first.values())


def _classes(exported: Json, report: Json) -> tuple[str, ...]:
    return tuple(exported.get("classes") or report.get("classes") or ())


def _normalisation(exported: Json, report: Json) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of pixels from 0 to 1; empty where neither the export nor the design says."""
    found = exported.get("normalisation") or report.get("preprocessing") or {}
    return tuple(found.get("mean", ())), tuple(found.get("std", ()))


def _text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in str(text))
    return " ".join(escaped.split())
