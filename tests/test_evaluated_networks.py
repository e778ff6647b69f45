"""The networks that a page shows as tried: of every method, each once, in the order in which they were evaluated."""

import os
from pathlib import Path

from hwnas.records import append_record
from hwnas.report.recorded import evaluated_networks


def test_each_network_is_there_once_by_its_most_images(tmp_path: Path) -> None:
    few, every = tmp_path / "derivation-b-1024-images.jsonl", tmp_path / "derivation-a-10000-images.jsonl"
    for digest in ("one", "two"):
        append_record(few, {"digest": digest, "accuracy": 0.5, "images": 1024})
    append_record(every, {"digest": "two", "accuracy": 0.6, "images": 10_000})
    os.utime(few, (1, 1))
    found = evaluated_networks(tmp_path)
    assert [(each["digest"], each["accuracy"]) for each in found] == [("one", 0.5), ("two", 0.6)]


def test_those_of_searches_that_evaluate_networks_are_there(tmp_path: Path) -> None:
    append_record(tmp_path / "evaluations.jsonl", {"digest": "one", "accuracy": 0.5, "images": 64})
    append_record(tmp_path / "evaluations.jsonl", {"digest": "two", "accuracy": None, "images": 64})
    assert [each["digest"] for each in evaluated_networks(tmp_path)] == ["one"]
