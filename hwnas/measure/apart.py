"""The process that `hwnas.measure.bench` measures in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.apart import serve
from hwnas.errors import HwnasError
from hwnas.inspect.onnx_file import check_external_data_of
from hwnas.measure.bench import bench_here
from hwnas.measure.device import Device
from hwnas.runtimes import get_runtime


def main() -> None:
    serve(_bench)


def _bench(task: dict[str, Any]) -> dict[str, Any]:
    model, device, runtime = Path(task["model"]), Device(**task["device"]), get_runtime(task["runtime"])
    if runtime.suffix == ".onnx" and model.is_file():
        check_external_data_of(model)
    reference = None if task["reference"] is None else Path(task["reference"])
    try:
        return bench_here(model, device, runtime, reference).to_json()
    except (HwnasError, MemoryError):
        raise
    except Exception as error:  # while it runs, a model can fail in any way; ONNX Runtime's errors have no common base
        reason = " ".join(str(error).split())
        raise HwnasError(
            f"{runtime.name} {runtime.version()} loads {model} and cannot run it: {reason[:300]}. The file is damaged, "
            "or holds what this runtime lacks: export it again, or use a newer runtime."
        ) from error


if __name__ == "__main__":
    main()
