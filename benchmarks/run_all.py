"""Every benchmark in turn, as tables. Each can be run alone, with --json for a program to read.

python benchmarks/run_all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    "export.py",
    "int8.py",
    "mutated_files.py",
    "hostile.py",
    "predictor_accuracy.py",
    "interval_promise.py",
    "limits.py",
    "table_speed.py",
    "native_agreement.py",
    "noise.py",
    "kills.py",
    "throughput.py",
    "step_cost.py",
    "design_prediction.py",
    "budget.py",
    "training_free.py",
    "int8_search.py",
    "search_quality.py",
)


def main() -> None:
    failed = [name for name in BENCHMARKS if subprocess.run([sys.executable, HERE / name]).returncode != 0]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
