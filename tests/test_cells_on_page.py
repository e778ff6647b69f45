"""Cells on the page of a run: drawn as graphs, and how probable each operator of each edge was over the search."""

import random
from hashlib import sha256
from itertools import pairwise

import pytest

from hwnas.files import write_json
from hwnas.report.candidate_shares import SAMPLES, share_charts
from hwnas.report.cell_graph import BOX, WIDTH, cells_of, drawn
from hwnas.report.file_facts import memory_rows, model_files
from hwnas.report.search_page import search_page
from hwnas.report.written import rewrite_page
from hwnas.run import PROBABILITIES_FILE, Run
from hwnas.spaces import get_space
from tests.test_search_page import LARGEST, TINY, report

DARTS = get_space("darts", cells=8, channels=16)
PUBLISHED = DARTS.decode("24,24,17,68,0,100,51,198")
BENCH = get_space("nas-bench-201", width=0.5)
ONE_PATH = BENCH.decode("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|")


def one_hot(space, indices: tuple[int, ...]) -> list[list[float]]:
    return [[float(k == i) for k in range(len(d.candidates))] for d, i in zip(space.decisions, indices, strict=True)]


def told_of(architecture) -> dict:
    return report(LARGEST, architecture=architecture.to_json(), price=None, macs=1_000_000)


def test_the_cells_of_darts_are_its_two_published_ones_with_their_edges():
    normal, reduction = cells_of(PUBLISHED)
    assert (normal.name, reduction.name) == ("normal cell", "reduction cell")
    assert len(normal.edges) == len(reduction.edges) == 8
    assert "node 2 is sep conv 3x3 of 0 plus sep conv 3x3 of 1" in normal.told
    assert "node 5 is skip of 0 plus dil conv 3x3 of 2" in normal.told
    assert normal.told.endswith("the output is 2, 3, 4, 5 concatenated")
    assert len(normal.places) + len(reduction.places) == 8


def test_edges_that_are_no_part_of_the_network_are_not_drawn():
    (cell,) = cells_of(ONE_PATH)
    assert [(source, target) for source, target, _ in cell.edges] == [(0, 1), (1, 2), (1, 3), (2, 3)]
    assert "node 3 is avg pool 3x3 of 1 plus conv 1x1 of 2" in cell.told
    (empty,) = cells_of(BENCH.decode([0] * 6))
    assert empty.edges == () and "no path" in drawn(empty)["told"]


@pytest.mark.parametrize("space", [DARTS, BENCH], ids=["darts", "nas-bench-201"])
def test_no_arrow_crosses_a_node_and_no_label_another(space):
    for seed in range(20):
        for graph in cells_of(space.sample(random.Random(seed))):
            picture = drawn(graph)
            rows = [edge["y"] for edge in picture["edges"]]
            assert all(later - earlier >= 20 for earlier, later in pairwise(rows))
            for edge in picture["edges"]:
                assert 0 <= edge["x1"] < edge["x2"] <= WIDTH
                for box in picture["boxes"]:
                    beside = box["x"] >= edge["x2"] or box["x"] + BOX <= edge["x1"]
                    assert beside or not box["y"] < edge["y"] < box["y"] + box["height"]


def test_the_share_of_an_edge_is_summed_over_the_pairs_that_hold_it():
    uniform = [[1 / len(d.candidates)] * len(d.candidates) for d in DARTS.decisions]
    certain = one_hot(DARTS, DARTS.indices(PUBLISHED))
    found = share_charts([{"step": 1, "probabilities": uniform}, {"step": 9, "probabilities": certain}], DARTS)
    charts = {chart["name"]: chart for chart in found["charts"]}
    assert len(charts) == 2 * (2 + 3 + 4 + 5)
    # node 3 takes two of three states: one of them with probability 2/3, each of seven operators with 2/21
    assert charts["normal 0 to 3"]["told"].startswith("normal 0 to 3, from no edge 33 %, ")
    assert charts["normal 0 to 2"]["told"].endswith("to sep conv 3x3 100 %, max pool 3x3 0 %")
    assert charts["normal 1 to 5"]["told"].endswith("to no edge 100 %, max pool 3x3 0 %")
    for chart in found["charts"]:
        assert len(chart["spots"]) == SAMPLES
        assert all(spot["x"] >= 0 and spot["x"] + spot["width"] < 100.1 for spot in chart["spots"])
    skips = sum(graph.told.count("skip of") for graph in cells_of(PUBLISHED))
    assert found["skips"]["told"].endswith(f"to {skips} at last")


def test_skips_are_counted_among_the_most_probable_operators():
    skips = one_hot(BENCH, (1,) * 6)
    convolutions = one_hot(BENCH, (3, 3, 3, 3, 3, 1))
    records = [{"step": step, "probabilities": convolutions if step < 5 else skips} for step in range(1, 9)]
    found = share_charts(records, BENCH)
    assert found["skips"]["told"].endswith("from 1 at first to 6 at last")
    assert [each["name"] for each in found["key"]] == ["none", "skip", "conv 1x1", "conv 3x3", "avg pool 3x3"]


def test_probabilities_of_another_space_are_left_out():
    records = [{"step": step, "probabilities": one_hot(BENCH, (1,) * 6)} for step in (1, 2)]
    assert share_charts(records, DARTS) is None
    assert share_charts(records, None) is None
    assert share_charts(records[:1], BENCH) is None


def test_a_page_is_written_again_with_its_cells_and_their_history(tmp_path):
    options = {"space": "nas-bench-201", "resolution": 32, "num_classes": 10, "width": 0.5}
    run = Run(tmp_path / "run", options)
    for step in (1, 2, 3):
        run.log({"step": step, "probabilities": one_hot(BENCH, BENCH.indices(ONE_PATH))}, PROBABILITIES_FILE)
    run.rewind(2)
    write_json(run.folder / "report.json", told_of(ONE_PATH))
    page = rewrite_page(run.folder).read_text()
    assert "edge 0-1, from conv 3x3 100 %" in page and "step 2:" in page and "step 3:" not in page
    assert 'aria-label="cell: node 1 is conv 3x3 of 0;' in page


def test_a_chain_of_blocks_has_no_cells_but_the_shares_of_its_blocks():
    probabilities = one_hot(TINY, tuple(LARGEST))
    records = [{"step": step, "probabilities": probabilities} for step in (1, 2)]
    page = search_page(report(LARGEST), TINY, probabilities=records)
    assert "block by block" in page and 'figure class="chart cell"' not in page


def test_memory_is_what_inspect_counts_in_each_file():
    file = {"path": "model.tflite", "bytes": 2048, "macs": 3_000_000, "parameters": 1234, "peak_activation_bytes": 9216}
    assert memory_rows({"files": [file]}) == [{"name": "model.tflite", "cells": ["2 KiB", "1,234", "3.00 M", "9 KiB"]}]
    bound = file | {"is_lower_bound": True, "peak_activation_bytes": None}
    assert memory_rows({"files": [bound]})[0]["cells"][1:] == ["at least 1,234", "at least 3.00 M", "not known"]
    assert memory_rows({"files": [{"path": "of an earlier version"}]}) == memory_rows({}) == []


def test_what_was_found_out_about_a_file_is_not_said_of_another_in_its_place(tmp_path):
    model = {"path": "models/model.tflite", "format": "tflite", "precision": "float32", "bytes": 3}
    model |= {"sha256": sha256(b"old").hexdigest(), "ms": {"litert": 0.5}, "accuracy": 0.75}
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "model.tflite"
    file.write_bytes(b"old")
    (found,) = model_files({"models": [model]}, tmp_path, {})
    assert found["facts"][1:] == ["0.5 ms on litert", "75.0 % right"]
    file.write_bytes(b"new")
    (found,) = model_files({"models": [model]}, tmp_path, {})
    assert "not measured" in found["facts"][1] and len(found["facts"]) == 2
