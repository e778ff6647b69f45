"""The space of NAS-Bench-201: its codes, its graphs, and networks of published size."""

import csv
import gzip
import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.child import build_child
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.export import export
from hwnas.exporter.graph.lower import lower
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import OPERATORS, nas_bench_201
from hwnas.specs.cell import Cell, edge_ends, reached_and_needed

SPACE = get_space("nas-bench-201")
SMALL = get_space("nas-bench-201", resolution=8, num_classes=3, width=0.5)
CODES = np.array(list(itertools.product(range(5), repeat=6)))


def paths(code) -> set[int]:
    """The edges on a path from node 0 to node 3, by walking every path."""
    ends = edge_ends(6)
    found = set()

    def walk(node, walked):
        if node == 3:
            found.update(walked)
        for e, (source, target) in enumerate(ends):
            if source == node and code[e] != 0:
                walk(target, [*walked, e])

    walk(0, [])
    return found


@pytest.mark.parametrize(
    ("code", "macs", "params"),
    [  # as the benchmark reports its first two architectures: MFLOPs and millions of parameters
        (
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            15.64737,
            0.129306,
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
            113.95137,
            0.802426,
        ),
    ],
)
def test_networks_have_the_published_size(code, macs, params):
    architecture = SPACE.decode(code)
    assert architecture.macs / 1e6 == pytest.approx(macs, abs=2e-5)
    assert architecture.params / 1e6 == params
    assert sum(p.numel() for p in build_child(architecture).parameters()) == architecture.params


def test_it_has_15625_codes_341_of_them_without_a_path():
    assert SPACE.size == len(CODES) == 15_625
    assert len(SPACE.decisions) == 6
    reached, needed = reached_and_needed([codes != 0 for codes in CODES.T])
    live = np.stack([(codes != 0) & r & n for codes, r, n in zip(CODES.T, reached, needed, strict=True)], axis=1)
    assert (~live.any(axis=1)).sum() == 341
    for code, alive in zip(CODES[::7], live[::7], strict=True):
        assert set(np.flatnonzero(alive)) == paths(code)


def test_every_published_string_is_a_code(shared_data):
    with gzip.open(shared_data / "nas_bench_201_12epoch.csv.gz", "rt") as file:
        strings = [row["arch_str"] for row in csv.DictReader(file)]
    assert len(set(strings)) == 15_625
    for text in strings[::25]:
        architecture = SPACE.decode(text)
        assert SPACE.encode(architecture) == architecture.code == text
        assert SPACE.decode(SPACE.indices(architecture)) == architecture


@pytest.mark.parametrize(
    "text",
    [
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|max_pool~2|",
        "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|",
        "none~0|+|none~0|none~1|+|none~0|none~1|none~2",
        "0,0,0,0,0,5",
    ],
)
def test_wrong_strings_are_refused(text):
    with pytest.raises(UsageError, match="code"):
        SPACE.decode(text)


def test_codes_of_one_network_share_a_digest():
    skip = [0, 0, 0, 1, 0, 0]
    dead_end, no_source = [3, 0, 0, 1, 0, 0], [0, 0, 0, 1, 3, 2]
    assert len({SPACE.decode(code).digest for code in (skip, dead_end, no_source)}) == 1
    assert SPACE.decode(dead_end).macs == SPACE.decode(skip).macs
    assert SPACE.decode([3, 0, 0, 1, 1, 0]).digest != SPACE.decode(skip).digest


def test_the_operators_of_the_cell_are_what_a_table_measures():
    kinds = {(spec.kind, getattr(spec, "kernel", None)) for spec, _ in SPACE.distinct_blocks()}
    assert {("relu_conv", 1), ("relu_conv", 3), ("avg_pool", 3), ("reduction", None), ("pool_head", None)} <= kinds
    assert len(SPACE.distinct_blocks()) == 1 + 3 * 3 + 2 + 1  # stem, three operators per stage, reductions, head
    assert not any(isinstance(spec, Cell) for spec, _ in SPACE.distinct_blocks())


@settings(max_examples=15)
@given(st.integers(0, 15_624))
def test_the_network_computes_the_sum_over_its_live_edges(number):
    """Against the definition: every node is the sum over all edges into it, with dead branches left out."""
    code = CODES[number]
    cell = SMALL.decode(code).blocks[1]
    torch.manual_seed(0)
    from hwnas.blocks import build_block

    block = build_block(cell).eval()
    x = torch.randn(2, cell.channels, 8, 8)
    nodes = [x, *[torch.zeros_like(x) for _ in range(3)]]
    with torch.inference_mode():
        for (source, target), edge in zip(edge_ends(6), range(6), strict=True):
            if edge in paths(code):
                nodes[target] = nodes[target] + block.edges[f"{source}-{target}"](nodes[source])
        torch.testing.assert_close(block(x), nodes[3])


@pytest.mark.parametrize(
    "code",
    [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [3, 3, 3, 3, 3, 3],
        [1, 1, 1, 1, 1, 1],
        [4, 4, 4, 4, 4, 4],
        [3, 0, 0, 2, 0, 3],
        [0, 4, 2, 0, 3, 1],
    ],
)
def test_special_cells_are_exported_as_they_compute(code, tmp_path):
    exported = export(build_child(SMALL.decode(code)).eval(), tmp_path)
    assert [model.max_relative_error < 1e-5 for model in exported] == [True, True]


def test_dead_branches_are_not_in_the_graph():
    def operators(code):
        return len(lower(build_child(SMALL.decode(code)), (1, 3, 8, 8)).operators)

    assert operators([3, 0, 3, 1, 0, 0]) == operators([0, 0, 0, 1, 0, 0])
    assert operators([0, 0, 3, 1, 3, 0]) == operators([0, 0, 0, 1, 0, 0])
    assert operators([3, 0, 0, 1, 1, 0]) > operators([0, 0, 0, 1, 0, 0])


def test_options_and_what_they_refuse():
    assert nas_bench_201(cells_per_stage=1).decode([3] * 6).macs < SPACE.decode([3] * 6).macs
    assert nas_bench_201(cells_per_stage=1).options["cells_per_stage"] == 1
    with pytest.raises(UsageError, match="multiple of 4"):
        get_space("nas-bench-201", resolution=30)
    assert [one_of.name for one_of in SPACE.decisions] == [f"edge {i}-{j}" for i, j in edge_ends(6)]
    assert len(OPERATORS) == 5


def test_an_undecided_cell_cannot_be_built():
    from hwnas.blocks import build_block

    with pytest.raises(HwnasError, match="decide the cell's operators first"):
        build_block(SPACE.nodes[1])


@pytest.mark.parametrize("edges", [0, 2, 4, 5])
def test_a_cell_has_an_edge_for_every_pair_of_nodes(edges):
    with pytest.raises(UsageError, match="1, 3, 6, 10"):
        edge_ends(edges)


def test_random_cells_have_the_counted_macs():
    from torch.utils.flop_counter import FlopCounterMode

    rng = random.Random(1)
    for _ in range(5):
        architecture = SMALL.sample(rng)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            build_child(architecture).eval()(torch.zeros(1, *architecture.input_shape))
        assert counter.get_total_flops() == 2 * architecture.macs
