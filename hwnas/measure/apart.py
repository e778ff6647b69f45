"""The other side of `hwnas.measure.bench`: a task as JSON from stdin, the result as JSON to stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hwnas.errors import HwnasError, UsageError
from hwnas.measure.bench import bench_here
from hwnas.measure.device import Device
from hwnas.runtimes import get_runtime


def main() -> None:
    task = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answer:  # a runtime that prints to stdout must not garble the answer
        os.dup2(2, 1)
        try:
            reference = None if task["reference"] is None else Path(task["reference"])
            device, runtime = Device(**task["device"]), get_runtime(task["runtime"])
            result = bench_here(Path(task["model"]), device, runtime, reference).to_json()
        except HwnasError as error:
            result = {"error": str(error), "usage": isinstance(error, UsageError)}
        json.dump(result, answer)


if __name__ == "__main__":
    main()
