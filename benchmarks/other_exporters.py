"""litert-torch, and torch.onnx with dynamo, on the subjects of the export benchmark: run in an environment of its own.

    PYTHON other_exporters.py FOLDER NAME...

FOLDER holds the weights of each subject as .safetensors. The models are written beside them, and a .json per subject
with the milliseconds of every conversion in order, or why there was none. Imports and building the module are not
counted. Models of blocks are converted with images as TFLite has them only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litert_torch  # type: ignore[import-not-found]
import torch
from export_subjects import SEVEN, Subject, build_subject

CONVERSIONS = 2
"""Of each kind: the first, which warms up, and one again."""


def to_nhwc_tflite(subject: Subject, path: Path) -> None:
    """litert-torch, with images as TFLite has them: no TRANSPOSE at the ends of the network."""
    outputs = [0] if subject.gives_image else None
    module = litert_torch.to_channel_last_io(subject.module, args=[0], outputs=outputs).eval()
    example = torch.zeros(subject.input_shape).permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(module, (example,)).export(str(path))


def to_nchw_tflite(subject: Subject, path: Path) -> None:
    """litert-torch, with images as PyTorch has them."""
    litert_torch.convert(subject.module, (torch.zeros(subject.input_shape),)).export(str(path))


def to_onnx(subject: Subject, path: Path) -> None:
    """PyTorch's own exporter as it is by default."""
    example = (torch.zeros(subject.input_shape),)
    torch.onnx.export(subject.module, example, str(path), dynamo=True, external_data=False, verbose=False)


EXPORTERS: dict[str, tuple[Callable[[Subject, Path], None], str, int]] = {
    "litert_torch_nhwc": (to_nhwc_tflite, ".nhwc.tflite", CONVERSIONS),
    "litert_torch_nchw": (to_nchw_tflite, ".nchw.tflite", 1),
    "torch_onnx_dynamo": (to_onnx, ".dynamo.onnx", CONVERSIONS),
}
"""Name in the results -> the exporter, the end of its files' names, and how often each subject is converted."""


def convert_all(subject: Subject, folder: Path) -> dict[str, Any]:
    """Every exporter on one subject: name of the exporter -> its file and ``conversions_ms``, or its ``failure``."""
    results: dict[str, Any] = {}
    names = EXPORTERS if subject.name in SEVEN else ["litert_torch_nhwc"]
    for name in names:
        export, suffix, conversions = EXPORTERS[name]
        path = folder / f"{subject.name}{suffix}"
        conversions_ms = []
        try:
            for _ in range(conversions):
                start = time.perf_counter()
                export(subject, path)
                conversions_ms.append((time.perf_counter() - start) * 1000)
            results[name] = {"file": path.name, "conversions_ms": conversions_ms}
        except Exception as error:  # another exporter's failure is a result, whatever its type
            results[name] = {"failure": f"{type(error).__name__}: {str(error)[:500]}"}
    return results


def warm_up(folder: Path) -> None:
    """Convert one layer with each exporter, so that what is done once per process is not counted."""
    layer = Subject("warm-up", torch.nn.Conv2d(3, 8, 3).eval(), (1, 3, 16, 16))
    for export, suffix, _ in EXPORTERS.values():
        export(layer, folder / f"warm-up{suffix}")


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    warm_up(folder)
    for name in names:
        subject = build_subject(name, folder)
        results = convert_all(subject, folder)
        (folder / f"{subject.name}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
