"""Damaged files: `hwnas inspect` and `hwnas bench` end in a result or in one clear error, and leave nothing behind."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.weekly import weekly_except


@pytest.fixture(scope="module")
def mutated() -> Any:
    """The benchmark of the same name, whose mutations these are."""
    pytest.importorskip("ai_edge_quantizer")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import mutated_files
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return mutated_files


def test_every_mutation_damages_a_file(mutated: Any) -> None:
    data = bytes(range(256)) * 8
    for mutate in mutated.MUTATIONS:
        damaged = [bytes(mutate(bytearray(data), random.Random(seed))) for seed in range(20)]
        assert len(set(damaged)) > 15 and sum(one != data for one in damaged) >= 18, mutate.__name__
        assert all(len(one) <= len(data) for one in damaged)


@pytest.mark.parametrize("count", weekly_except([4], [4, 100]))
def test_damaged_files_end_in_a_result_or_a_clear_error(mutated: Any, count: int) -> None:
    found = mutated.run(count, seed=1, workers=2)
    assert len(found) == 2 * count
    assert {outcome for _, _, outcome, _ in found} <= {"result", "refused", "crashed apart", "timed out apart"}
    assert sum(outcome == "refused" for _, _, outcome, _ in found) > 5 * count / 6
    for verb, _, outcome, message in found:
        if outcome != "result":
            assert "model" in message or ".tflite" in message or ".onnx" in message, (verb, message)
            assert "Traceback" not in message or outcome == "crashed apart"


VALID = ["float32.tflite", "float32.onnx", "int8.tflite", "int8.onnx"]


@pytest.mark.parametrize("name", weekly_except(["float32.tflite", "int8.onnx"], VALID))
def test_valid_files_give_results(mutated: Any, name: str, tmp_path: Path) -> None:
    seeds = mutated.seeds()
    assert list(seeds) == VALID
    outcomes = [outcome for _, _, outcome, _ in mutated.examine(name, "none", seeds[name], tmp_path)]
    assert outcomes == ["result", "result"]
