"""Our exporter beside litert-torch and torch.onnx: time, latency of the files, size, exactness; on seven networks.

The seven: MobileNetV2, MobileNetV3-Large, EfficientNet-B0, ShuffleNetV2 and ResNet-18 in plain PyTorch at 224 x 224,
the network of Single-Path NAS, and an MBConv block with a 7 x 7 kernel. All in one run, on the same weights:

1. conversion: milliseconds from a module in memory to a file, the first time and again, for the networks and for MBConv
   blocks (aims: 50 times faster than litert-torch per block, 30 times per network);
2. latency: our file / theirs, 1 thread, in turns within one process (aim: at most 1.02 on each);
3. files: bytes, XNNPACK partitions, operators outside of them, TRANSPOSEs, largest relative error against PyTorch
   (limit: 1e-5);
4. random architectures of every space convert and match; the bytes of a file do not depend on the process.

litert-torch lives in an environment of its own, .venv-litert-torch, made when it is first needed. Where it cannot be
installed, the comparison is with torch.onnx's older exporter only.

    python benchmarks/export.py                             tables
    python benchmarks/export.py --json                      one JSON object
    python benchmarks/export.py --networks resnet-18 --architectures 0 --rounds 30
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from typing import Any

import torch
from common import machine, show
from export_architectures import check_architectures
from export_comparison import converted, describe_files, measure_latencies, ratio
from export_determinism import check_determinism
from export_subjects import BLOCKS, SEVEN, Subject, build_subject
from litert_torch_environment import FILES, convert_there, make_environment

OURS, OURS_ONNX = "ours, tflite", "ours, onnx"
Files = dict[str, dict[str, Any]]
"""Name of a file of one subject -> what is known of it."""


def measure(names: list[str], rounds: int) -> tuple[dict[str, Files], str | None]:
    """Every file of every subject, and why litert-torch is missing, if it is.

    Args:
        names: Which of the seven; all blocks are converted besides.
        rounds: How often the files are loaded anew to measure their latency.
    """
    import_module("onnx")  # imports are not counted, there or here
    subjects = [build_subject(name) for name in dict.fromkeys((*names, *BLOCKS))]
    missing = make_environment()
    theirs = convert_there(subjects) if missing is None else {}
    return {
        subject.name: _measured(subject, theirs.get(subject.name, {}), names, rounds) for subject in subjects
    }, missing


def _measured(subject: Subject, theirs: dict[str, Any], names: list[str], rounds: int) -> Files:
    files = converted(subject, theirs)
    FILES.mkdir(parents=True, exist_ok=True)
    describe_files(subject, files, FILES)
    if subject.name in names:
        print(f"latency of {subject.name} ...", file=sys.stderr)
        measure_latencies(subject, files, rounds)
    for file in files.values():
        file.pop("model", None)
    return files


def conversion_rows(results: dict[str, Files]) -> list[dict[str, Any]]:
    """Milliseconds to a file, again and for the first time, and how many times as long others take."""
    return [
        {
            "subject": name,
            "tflite ms": files[OURS].get("again_ms"),
            "first": files[OURS].get("first_ms"),
            "litert-torch ms": round(files.get("litert-torch", {}).get("again_ms", 0)) or None,
            "x": ratio(files, "litert-torch", OURS, "again_ms"),
            "x, first": ratio(files, "litert-torch", OURS, "first_ms"),
            "onnx ms": files[OURS_ONNX].get("again_ms"),
            "torch.onnx ms": round(files.get("torch.onnx", {}).get("again_ms", 0)) or None,
            "x onnx": ratio(files, "torch.onnx", OURS_ONNX, "again_ms"),
            "x older": ratio(files, "torch.onnx, older", OURS_ONNX, "again_ms"),
        }
        for name, files in results.items()
    ]


def latency_rows(results: dict[str, Files]) -> list[dict[str, Any]]:
    """Milliseconds of an inference, and ours / theirs."""
    return [
        {
            "network": name,
            "LiteRT ms": files[OURS].get("latency_ms"),
            "/ litert-torch": ratio(files, OURS, "litert-torch", "latency_ms"),
            "/ its NCHW": ratio(files, OURS, "litert-torch, NCHW images", "latency_ms"),
            "ONNX Runtime ms": files[OURS_ONNX].get("latency_ms"),
            "/ torch.onnx": ratio(files, OURS_ONNX, "torch.onnx", "latency_ms"),
            "/ older": ratio(files, OURS_ONNX, "torch.onnx, older", "latency_ms"),
        }
        for name, files in results.items()
        if any("latency_ms" in file for file in files.values())
    ]


def file_rows(results: dict[str, Files]) -> list[dict[str, Any]]:
    """What the files are like; or why there is none."""
    columns = ("bytes", "relative_error", "partitions", "outside", "transposes", "failure")
    return [
        {"network": name, "file": file_name, **{column: file.get(column) for column in columns}}
        for name, files in results.items()
        for file_name, file in files.items()
        if any("latency_ms" in other for other in files.values())
    ]


def blank_where_missing(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it: nothing where there is no number, and without what does not fit a table."""
    return {key: "" if value is None else value for key, value in row.items() if not isinstance(value, dict)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--networks", default=",".join(SEVEN), help="some of the seven, with commas between (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=12, help="loads of every file for its latency (default: 12)")
    parser.add_argument("--architectures", type=int, default=200, help="random networks of every space (default: 200)")
    chosen = parser.parse_args()
    chosen.names = chosen.networks.split(",")
    if unknown := [name for name in chosen.names if name not in SEVEN]:
        parser.error(f"there is no network {unknown[0]!r}; there are {', '.join(SEVEN)}")
    return chosen


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    results, missing = measure(chosen.names, chosen.rounds)
    determinism = check_determinism(chosen.names)
    architectures = check_architectures(chosen.architectures) if chosen.architectures else []
    if chosen.json:
        parts = {"results": results, "determinism": determinism, "architectures": architectures}
        print(json.dumps({"machine": machine(), "litert_torch_missing": missing, **parts}, indent=2))
        return
    tables = {
        "Conversion: ms, and how many times as long others take": conversion_rows(results),
        "Latency, 1 thread: ms, and ours / theirs": latency_rows(results),
        "Files": file_rows(results),
        "Two processes": determinism,
        "Random architectures: largest relative errors": architectures,
    }
    for title, rows in tables.items():
        if rows:
            show(title, [blank_where_missing(row) for row in rows], False)
    for row in architectures:
        for code, reason in list(row["failures"].items())[:3]:
            print(f"{row['space']} {code}: {reason}")
    if missing is not None:
        print(f"without litert-torch: {missing}")


if __name__ == "__main__":
    main()
