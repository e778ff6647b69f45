"""The sections of a model card that an app is written by: what a file takes and gives, and the code for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hwnas.preprocessing import Preprocessing
from hwnas.report.markdown import markdown_text as _text
from hwnas.report.photograph import photograph_snippets
from hwnas.report.snippets import snippets
from hwnas.report.usage import Usage

CLASSES_SHOWN = 50

Json = dict[str, Any]


def ends(exported: Json, report: Json) -> list[str]:
    """The section on input and output."""
    lines = []
    for file in _one_per_format(exported["files"]):
        source, target = file["input"], file["output"]
        lines.append(
            f"- `.{file['format']}`: input `{_text(source['name'])}` {source['dtype']} {source['shape']}"
            f"{' ' + source['layout'] if source['layout'] else ''}, output `{_text(target['name'])}` {target['dtype']} "
            f"{target['shape']}"
        )
    lines += _steps(_preprocessing(exported["files"][0], exported, report))
    classes = _classes(exported, report)
    lines.append(f"- Output: {exported['output']}, one per class.")
    if classes:
        more = f" ... ({len(classes)} in all)" if len(classes) > CLASSES_SHOWN else ""
        listed = ", ".join(f"{i} {_text(name)}" for i, name in enumerate(classes[:CLASSES_SHOWN]))
        lines.append(f"- Classes: {listed}{more}")
    return lines


def _steps(seen: Preprocessing | None) -> list[str]:
    """The steps that an app takes with a photograph, in order."""
    if seen is None:
        return [
            "- Normalisation of the pixels: not recorded, nor are crop and resizing of photographs: do as in training."
        ]
    lead = "- From a photograph to the input. The accuracy above is that of these steps; others lose some of it:"
    return [lead, *(f"  {number}. {step}" for number, step in enumerate(seen.steps, 1))]


def use(exported: Json, report: Json) -> list[str]:
    """The section of snippets."""
    files = _one_per_format(exported["files"])
    lines: list[str] = []
    first = None if not files else _preprocessing(files[0], exported, report)
    if (
        first is not None
        and _usage(files[0], exported, report).channels == 3
        and (functions := photograph_snippets(first))
    ):
        lines += ["### From a photograph to pixels", "", "Pillow resizes as training did. Other libraries do not:", ""]
        lines += _blocks(functions)
    for file in files:
        lines += [f"### {file['path']}", ""]
        lines += _blocks(snippets(_usage(file, exported, report)))
    return [*lines, "The other files of a format are used in the same way."]


def _blocks(codes: Mapping[str, tuple[str, str]]) -> list[str]:
    return [line for name, (code, text) in codes.items() for line in (f"{name}:", "", f"```{code}", text, "```", "")]


def _usage(file: Json, exported: Json, report: Json) -> Usage:
    source = file["input"]
    return Usage(
        file=file["path"],
        shape=tuple(source["shape"]),
        input_name=source["name"],
        output_name=file["output"]["name"],
        pixels=source["dtype"] == "uint8",
        layout=source["layout"],
        preprocessing=_preprocessing(file, exported, report),
        labels=_classes(exported, report),
    )


def _one_per_format(files: Iterable[Json]) -> list[Json]:
    """The first file of each format."""
    first: dict[str, Json] = {}
    for file in files:
        first.setdefault(file["format"], file)
    return list(first.values())


def _classes(exported: Json, report: Json) -> tuple[str, ...]:
    return tuple(exported.get("classes") or report.get("classes") or ())


def _preprocessing(file: Json, exported: Json, report: Json) -> Preprocessing | None:
    """The preprocessing that the file, or else the design of its network, asks for; None where neither says."""
    found = file.get("preprocessing") or exported.get("normalisation") or report.get("preprocessing")
    if not found:
        return None
    source = file["input"]
    height, width = source["shape"][1:3] if source["layout"] == "NHWC" else source["shape"][2:4]
    seen = Preprocessing(tuple(found["mean"]), tuple(found["std"]), found.get("crop"), found.get("resize"))
    return seen.of_file((height, width), source["dtype"] == "uint8", source["layout"])
