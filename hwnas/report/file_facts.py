"""The files of a run on its page: the kind of each, how to open it, and its size and memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from hwnas.files import content_sha256
from hwnas.report.recorded import MODELS_FOLDER

USES = {
    "tflite": ("LiteRT", 'ai_edge_litert.interpreter.Interpreter("{name}")'),
    "onnx": ("ONNX Runtime", 'onnxruntime.InferenceSession("{name}")'),
}
"""By the format of a file: what runs it, and how Python opens it."""

Json = Mapping[str, Any]


def file_size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 1024:.0f} KiB"


def model_files(report: Json, folder: Path | None, exported: Json) -> list[Json]:
    """The files to take, with the kind of each, and a link where it is there.

    Args:
        report: ``report.json``.
        folder: of the run, which links are relative to; None: no links.
        exported: ``export.json`` beside the files; empty where there is none.
    """
    described = {file.get("path"): file for file in exported.get("files", ())}
    found: list[Json] = []
    reported = list(report.get("models", ()))
    names = {PurePath(model["path"]).name for model in reported}
    later = [file | {"accuracy": _share(file)} for name, file in described.items() if name not in names]
    for model in [*reported, *later]:
        path = PurePath(model["path"])
        link = f"{MODELS_FOLDER}/{path.name}"
        runs, opened = USES.get(model["format"], (model["format"], "{name}"))
        file = folder / link if folder is not None and (folder / link).is_file() else None
        found.append(
            {
                "name": path.name,
                "link": link if file is not None else "",
                "what": f"{runs}, {model['precision']}",
                "facts": _facts(model, file),
                "use": opened.format(name=path.name),
                "input": _input_text(described.get(path.name)),
            }
        )
    return found


def _facts(model: Json, file: Path | None) -> list[str]:
    """Size, ms and accuracy of a file; of one that was exported again since they were found out, the size alone."""
    if file is not None and model.get("sha256") and content_sha256(file) != model["sha256"]:
        return [file_size(file.stat().st_size), "exported again since the run: not measured"]
    facts = [file_size(model["bytes"])] if model.get("bytes") else []
    facts += [f"{ms:.4g} ms on {name}" for name, ms in model.get("ms", {}).items()]
    return facts if model.get("accuracy") is None else [*facts, f"{100 * model['accuracy']:.1f} % right"]


def _share(file: Json) -> float | None:
    """The accuracy of a file that was exported after the run, 0 to 1."""
    return (file.get("accuracy") or {}).get("accuracy")


def _input_text(file: Json | None) -> str:
    """The input of the file, in words."""
    source = (file or {}).get("input")
    if not source:
        return ""
    return f"takes {source['dtype']} {' × '.join(map(str, source['shape']))}"


def memory_rows(exported: Json) -> list[Json]:
    """A row for each file: size, parameters, multiply-adds and peak activation memory; none where nothing counted them.

    Args:
        exported: ``export.json``; one of an earlier version counts nothing.
    """
    found: list[Json] = []
    for file in exported.get("files", ()):
        if isinstance(file.get("macs"), int):
            peak, bound = file.get("peak_activation_bytes"), "at least " if file.get("is_lower_bound") else ""
            cells = [
                file_size(file["bytes"]),
                f"{bound}{file['parameters']:,}",
                f"{bound}{file['macs'] / 1e6:,.2f} M",
                "not known" if peak is None else file_size(peak),
            ]
            found.append({"name": file["path"], "cells": cells})
    return found
