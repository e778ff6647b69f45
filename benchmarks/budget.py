"""Does a design meet its budget, and was the prediction right? Real images, three budgets, two runtimes.

    python benchmarks/budget.py [--epochs 10] [--json]

Budgets lie at a quarter, a half and three quarters of the way from the fastest to the slowest architecture of `tiny`.
Aim: within in 6 of 6, and predicted within 3 % of measured in 6 of 6.
"""

from __future__ import annotations

import argparse
import tempfile

from common import CACHE, answer, cifar10_subset, show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    images = cifar10_subset(train_per_class=500, test_per_class=200)
    rows = []
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        for runtime in ("litert", "onnxruntime"):
            table = answer("measure", "--space", "tiny", "--runtime", runtime, "--tables", folder)
            for share in (0.25, 0.5, 0.75):
                budget_ms = table["fastest_ms"] + share * (table["slowest_ms"] - table["fastest_ms"])
                what = ["--space", "tiny", "--data", images, "--runtime", runtime, "--budget-ms", f"{budget_ms:.5f}"]
                out = f"{folder}/run-{runtime}-{share}"
                found = answer("design", *what, "--tables", folder, "--epochs", options.epochs, "--out", out)
                measured_ms = found["measured_ms"][runtime]
                rows.append(
                    {
                        "runtime": runtime,
                        "budget_ms": budget_ms,
                        "status": found["status"],
                        "predicted_ms": found["predicted_ms"],
                        "measured_ms": measured_ms,
                        "error_percent": 100 * (found["predicted_ms"] - measured_ms) / measured_ms,
                        "accuracy": found["accuracy"],
                        "code": found["architecture"]["code"],
                        "seconds": found["seconds"],
                    }
                )
    within = sum(row["status"] == "within" for row in rows)
    exact = sum(abs(row["error_percent"]) <= 3 for row in rows)
    show("budgets met on CIFAR-10 (5,000 training images)", rows, options.json, within=within, within_3_percent=exact)


if __name__ == "__main__":
    main()
