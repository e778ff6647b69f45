"""The process that `hwnas.campaign.bench` measures in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.campaign.bench import bench_with
from hwnas.devices.device import Device
from hwnas.inspection.onnx_file import check_external_data_of
from hwnas.runners import open_runner
from hwnas.sandbox import serve


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
