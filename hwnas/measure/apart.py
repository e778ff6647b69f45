"""The process that `hwnas.measure.bench` measures in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.apart import serve
from hwnas.inspect.onnx_file import check_external_data_of
from hwnas.measure.bench import bench_with
from hwnas.measure.device import Device
from hwnas.measure.runners import open_runner


def main() -> None:
    serve(_bench)


def _bench(task: dict[str, Any]) -> dict[str, Any]:
    model, device = Path(task["model"]), Device(**task["device"])
    reference = None if task["reference"] is None else Path(task["reference"])
    with open_runner(device, task["runtime"]) as runner:
        if runner.suffix == ".onnx" and model.is_file():
            check_external_data_of(model)
        return bench_with(runner, model, device, reference).to_json()


if __name__ == "__main__":
    main()
