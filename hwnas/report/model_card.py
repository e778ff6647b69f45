"""The model card: CARD.md beside exported files, what an engineer needs to put them into an app, and to trust them.

It is made of ``export.json`` and, after a design, of its report. Nothing in it names a folder, a user or a machine.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from hwnas.errors import HwnasError
from hwnas.exporter.exported import CARD_FILE, EXPORT_FILE
from hwnas.files import read_json, write_page
from hwnas.networks.registry import NETWORKS
from hwnas.report.card_usage import ends, use
from hwnas.report.markdown import markdown_text as _text
from hwnas.report.recorded import budget_status

Json = dict[str, Any]

FILE_COLUMNS = (
    *("file", "precision", "size", "one inference", "accuracy (95 %)", "points lost", "same class", "from PyTorch"),
    "SHA-256",
)


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
            f"the model card: {folder / EXPORT_FILE} lacks data that a card needs ({error!r}); export again."
        ) from error
    write_page(path, text)
    return path


def model_card(exported: Json, report: Json, licence: str | None = None) -> str:
    """The card as Markdown, of the JSON of an export and of a design ({}: none)."""
    sections = {
        "Latency": _latency(exported, report),
        "Files": _files(exported, report),
        "Input and output": ends(exported, report),
        "Data": _data(exported, report),
        "Use": use(exported, report),
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
    space = architecture.get("space")
    name = f"A network of the space {_text(space)}" if space else "A network"
    if space in NETWORKS:
        name = f"The known network {space}"
    device = PurePath(report.get("device", "")).name.removesuffix(".toml")  # it may have been given as a file
    return f"{name} for {_text(device)}" if device else name


def _latency(exported: Json, report: Json) -> list[str]:
    if not report.get("measured_ms"):
        return [*_predicted_alone(report), "Not measured. `hwnas bench FILE --device NAME` does."]
    target, measured, precision = report["runtime"], report["measured_ms"], report.get("precision", "float32")
    whose = "" if _is_among(exported, report) else "Of the file that the run made, which is not among these any more: "
    lines = [
        f"{whose}Budget {report['budget_ms']:g} ms for the {precision} file on {target}: measured "
        f"**{measured[target]:.4g} ms, {budget_status(report)} the budget**.{_predicted(report, measured[target])}",
        "",
        f"| runtime | median of one inference, {precision} file | conditions |",
        "| --- | --- | --- |",
    ]
    conditions = report.get("conditions", {})
    return lines + [f"| {name} | {ms:.4g} ms | {_conditions(conditions.get(name))} |" for name, ms in measured.items()]


def _is_among(exported: Json, report: Json) -> bool:
    """Whether a file that was measured for the budget is one of those exported: it may have been replaced since."""
    precision = report.get("precision", "float32")
    measured = {
        model.get("sha256")
        for model in report.get("models") or ()
        if model.get("precision", precision) == precision and report["runtime"] in (model.get("ms") or {})
    } - {None}
    return not measured or any(file.get("sha256") in measured for file in exported["files"])


def _predicted_alone(report: Json) -> list[str]:
    """The latency by a published table of a network that was never measured."""
    if report.get("predicted_ms") is None or not report.get("publication"):
        return []
    low, high = report["interval_ms"]
    said = f"**{report['predicted_ms']:.4g} ms, 90 % interval {low:.4g} to {high:.4g} ms: predicted, never measured**"
    return [f"Budget {report['budget_ms']:g} ms: {said}, by the table of {_text(report['publication'])}."]


def _predicted(report: Json, measured_ms: float) -> str:
    """The earlier prediction, for a network of the space that was searched."""
    if report["predicted_ms"] is None:
        return ""
    predicted, (low, high) = report["predicted_ms"], report["interval_ms"]
    error = 100 * (predicted - measured_ms) / measured_ms
    missed = "" if low <= measured_ms <= high else " **The measured ms are outside this interval.**"
    return f" Predicted before: {predicted:.4g} ms ({error:+.1f} %), 90 % interval {low:.4g} to {high:.4g} ms.{missed}"


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


def _files_ms(report: Json) -> dict[str, str]:
    """By the SHA-256 of a file, its median ms on each runtime: files of the same name may have been exported since."""
    return {
        model.get("sha256", ""): ", ".join(f"{ms:.4g} ms on {name}" for name, ms in model.get("ms", {}).items())
        for model in report.get("models") or ()
    }


def _files(exported: Json, report: Json) -> list[str]:
    files, files_ms = exported["files"], _files_ms(report)
    lines = [
        f"| {' | '.join(FILE_COLUMNS)} |",
        f"|{' --- |' * len(FILE_COLUMNS)}",
    ]
    for file in files:
        accuracy, timed = file.get("accuracy"), files_ms.get(file.get("sha256", "")) or "not measured"
        shown, same = "not measured", ""
        if accuracy:
            same = f"{accuracy['agrees_with_pytorch']:.1%}"
            low, high = accuracy["interval_95"]
            shown = f"{accuracy['accuracy']:.1%} ({low:.1%} to {high:.1%} of {accuracy['images']} images)"
        loss = "" if file.get("loss_points") is None else f"{file['loss_points']:+.2f}"
        lines.append(
            f"| `{file['path']}` | {file['precision']} | {file['bytes'] / 1024:,.1f} KiB | {timed} | {shown} | {loss} "
            f"| {same} | {file['max_relative_error']:.0e} | `{file['sha256']}` |"
        )
    if any(files_ms.get(file.get("sha256", "")) for file in files):
        lines += ["", "*One inference*: its median; the conditions are those above."]
    else:
        lines += [""]
    lines += ["*From PyTorch*: largest difference to what PyTorch computes, relative to the largest output."]
    lines.append("*Same class*: test images that get the class which PyTorch gives them, right or wrong.")
    if exported.get("pytorch"):
        lines.append(f"The network in PyTorch gets {exported['pytorch']['accuracy']:.1%} of these images right.")
    elif report.get("accuracy") is not None:
        share = report["accuracy"] if report.get("float_accuracy") is None else report["float_accuracy"]
        lines.append(f"The network in PyTorch gets {share:.1%} of the test images right.")
    if report.get("precision_hint"):
        lines.append(f"**{_text(report['precision_hint'])}**")
    if report.get("accuracy_without_leaked") is not None:
        share = report["accuracy_without_leaked"]
        lines.append(f"Without the copies of training images, which the table leaves out: {share:.1%}.")
    return lines


def _data(exported: Json, report: Json) -> list[str]:
    lines = [f"- {_text(str(name))}: {count} images" for name, count in (report.get("images") or {}).items()]
    names: dict[str, list[str]] = {}
    for file in exported["files"]:
        calibration = file.get("calibration", exported.get("calibration"))  # files of an earlier export have their own
        if calibration and file["precision"] == "int8":
            told = (
                f"{calibration['images']} training images, seed {calibration['seed']}, SHA-256 of their pixels "
                f"`{calibration['pixels_sha256']}`"
            )
            names.setdefault(told, []).append(f"`{file['path']}`")
    for told, files in names.items():
        lines.append(f"- Calibration of {'int8' if len(names) == 1 else ', '.join(files)}: {told}")
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
