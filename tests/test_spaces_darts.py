"""The space of DARTS: published cells of published size, genotypes in every published form, codes."""

import itertools
import json
import random

import pytest
import torch

from hwnas.blocks import build_block
from hwnas.child import build_child
from hwnas.errors import HwnasError, UsageError
from hwnas.spaces import get_space
from hwnas.spaces.genotype import Genotype
from hwnas.specs.pool import AvgPool, MaxPool
from hwnas.specs.spec import spec_from_json
from hwnas.specs.two_input_cell import CellNode, TwoInputCell

CIFAR = get_space("darts", cells=20, channels=36)
IMAGENET = get_space("darts", cells=14, channels=48, resolution=224, num_classes=1000)
SMALL = get_space("darts", cells=3, channels=4, resolution=16, num_classes=5)

SHORT = {"sep": "sep_conv", "dil": "dil_conv", "max": "max_pool", "avg": "avg_pool"}


def edges(text: str) -> list[list]:
    """``sep3 0``: a sep_conv_3x3 from state 0; ``skip 1``; ``none 2``."""
    found = []
    for edge in text.split(", "):
        name, source = edge.split()
        full = {"skip": "skip_connect"}.get(name, name)
        for short, long in SHORT.items():
            full = full.replace(short, long + "_") if name.startswith(short) else full
        full = f"{full}x{full[-1]}" if full[-1].isdigit() else full
        found.append([full, int(source)])
    return found


def genotype(normal: str, reduce: str, normal_concat=(2, 3, 4, 5), reduce_concat=(2, 3, 4, 5)) -> dict:
    cells = {"normal": edges(normal), "normal_concat": list(normal_concat)}
    return cells | {"reduce": edges(reduce), "reduce_concat": list(reduce_concat)}


DARTS_V1 = genotype(
    "sep3 1, sep3 0, skip 0, sep3 1, skip 0, sep3 1, sep3 0, skip 2",
    "max3 0, max3 1, skip 2, max3 0, max3 0, skip 2, skip 2, avg3 0",
)
DARTS_V2 = genotype(
    "sep3 0, sep3 1, sep3 0, sep3 1, sep3 1, skip 0, skip 0, dil3 2",
    "max3 0, max3 1, skip 2, max3 1, max3 0, skip 2, skip 2, max3 1",
)
P_DARTS = genotype(
    "skip 0, dil3 1, skip 0, sep3 1, sep3 1, sep3 3, sep3 0, dil5 4",
    "avg3 0, sep5 1, sep3 0, dil5 2, max3 0, dil3 1, dil3 1, dil5 3",
)
PC_DARTS_CIFAR = genotype(
    "sep3 1, skip 0, sep3 0, dil3 1, sep5 0, sep3 1, avg3 0, dil3 1",
    "sep5 1, max3 0, sep5 1, sep5 2, sep3 0, sep3 3, sep3 1, sep3 2",
)
PC_DARTS_IMAGENET = genotype(
    "skip 1, sep3 0, sep3 0, skip 1, sep3 1, sep3 3, sep3 1, dil5 4",
    "sep3 0, skip 1, dil5 2, max3 1, sep3 2, sep3 1, sep5 0, sep3 3",
)
CDARTS_CIFAR = genotype(
    "sep3 0, sep3 1, sep3 1, sep3 2, sep3 0, sep3 1, skip 0, skip 2",
    "sep5 1, max3 0, dil5 2, skip 0, sep3 0, sep5 1, sep3 0, dil5 2",
)
SNAS_MODERATE = genotype(
    "dil5 0, skip 1, sep3 0, skip 1, skip 0, skip 1, sep3 0, dil5 1",
    "max3 0, max3 1, sep5 0, dil5 1, sep5 0, sep5 1, sep5 0, sep5 1",
)
SNAS_AGGRESSIVE = genotype(
    "sep5 0, skip 1, skip 0, skip 1, dil5 1, skip 0, skip 0, dil5 1",
    "sep5 0, none 1, sep5 0, none 1, none 1, none 0, none 1, none 0",
)
NASNET = genotype(
    "sep5 1, sep3 0, sep5 0, sep3 0, avg3 1, skip 0, avg3 0, avg3 0, sep3 1, skip 1",
    "sep5 1, sep7 0, max3 1, sep7 0, avg3 1, sep5 0, skip 3, avg3 2, sep3 2, max3 1",
    (2, 3, 4, 5, 6),
    (4, 5, 6),
)


@pytest.mark.parametrize(
    ("space", "cell", "params"),
    [
        (CIFAR, DARTS_V2, 3_349_342),  # 3.349 M: quark0/darts, README, and its log
        (IMAGENET, DARTS_V2, 4_718_752),  # 4.719 M: the same
        (CIFAR, P_DARTS, 3_433_798),  # chenxin061/pdarts, issue 7
        (CIFAR, PC_DARTS_CIFAR, 3_634_678),  # 3.6 M: arXiv 1907.05737, table 1
    ],
)
def test_published_cells_have_their_published_parameters_to_the_last_digit(space, cell, params):
    assert space.decode(cell).params == params


@pytest.mark.parametrize(
    ("space", "cell", "millions"),
    [
        (IMAGENET, P_DARTS, 4.9),
        (IMAGENET, PC_DARTS_CIFAR, 5.3),
        (IMAGENET, PC_DARTS_IMAGENET, 5.3),
        (CIFAR, CDARTS_CIFAR, 3.9),
        (CIFAR, SNAS_MODERATE, 2.8),
        (IMAGENET, SNAS_MODERATE, 4.3),
        (CIFAR, SNAS_AGGRESSIVE, 2.3),
    ],
)
def test_published_cells_have_the_millions_of_parameters_of_their_papers(space, cell, millions):
    assert space.decode(cell).params == pytest.approx(millions * 1e6, abs=0.05e6)


def test_every_published_genotype_is_read_and_written(shared_data):
    found = json.loads((shared_data / "nas" / "genotypes.json").read_text())
    for name, cell in found.items():
        architecture = CIFAR.decode(cell)
        assert CIFAR.decode(CIFAR.genotype(architecture)) == architecture, name
        assert CIFAR.decode(json.dumps(cell)) == architecture
        if architecture.code:
            assert CIFAR.decode(architecture.code) == architecture
            assert [sorted(node) for node in pairs(CIFAR.genotype(architecture)["normal"])] == [
                sorted(node) for node in pairs([edge for edge in cell["normal"] if edge[0] != "none"])
            ]
    assert {name for name, cell in found.items() if not CIFAR.decode(cell).code} == {
        *("nasnet", "amoebanet", "snas_aggressive", "snas_aggressive_edge_all")
    }
    for name in ("mild", "moderate", "aggressive"):
        every_edge = CIFAR.decode(found[f"snas_{name}_edge_all"])
        assert every_edge.digest == CIFAR.decode(found[f"snas_{name}"]).digest


def pairs(edges: list) -> list[list]:
    return [edges[i : i + 2] for i in range(0, len(edges), 2)]


def test_a_file_with_one_genotype_per_stage_is_read_and_written():
    text = (
        "Genotype(normal=[[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], [('skip_connect', 0), ('sep_conv_3x3', 1)], "
        "[('skip_connect', 0), ('sep_conv_3x3', 1)], [('sep_conv_3x3', 0), ('skip_connect', 2)]], "
        "normal_concat=range(2, 6), reduce=[[('max_pool_3x3', 0), ('max_pool_3x3', 1)], [('skip_connect', 2), "
        "('max_pool_3x3', 0)], [('max_pool_3x3', 0), ('skip_connect', 2)], [('skip_connect', 2), "
        "('avg_pool_3x3', 0)]], reduce_concat=range(2, 6))"
    )
    shared = CIFAR.decode({"0": text, "1": text, "2": text})
    assert shared == CIFAR.decode(DARTS_V1)
    assert CIFAR.decode(CIFAR.stage_genotypes(shared)) == shared

    mixed = CIFAR.decode({"0": DARTS_V1, "1": DARTS_V2, "2": P_DARTS})
    cells = [block for block in mixed.blocks if isinstance(block, TwoInputCell)]
    assert [cell.reduction for cell in cells] == [i in (6, 13) for i in range(20)]  # stages of 7, 7 and 6
    whole = [[b for b in CIFAR.decode(g).blocks if isinstance(b, TwoInputCell)] for g in (DARTS_V1, DARTS_V2, P_DARTS)]
    assert cells == [*whole[0][:7], *whole[1][7:14], *whole[2][14:]]
    again = CIFAR.decode(json.loads(json.dumps(CIFAR.stage_genotypes(mixed))))
    assert again == mixed
    with pytest.raises(HwnasError, match="differ from stage to stage"):
        CIFAR.genotype(mixed)
    per_stage = get_space("darts", per_stage=True)
    assert len(per_stage.decisions) == 4 * 5 and per_stage.decode(per_stage.decode(CIFAR.stage_genotypes(mixed)).code)


def test_a_genotype_of_other_nodes_and_operators_is_built():
    architecture = SMALL.decode(NASNET)
    assert architecture.code == ""
    child = build_child(architecture).eval()
    assert child(torch.zeros(2, 3, 16, 16)).shape == (2, 5)
    assert sum(p.numel() for p in child.parameters()) == architecture.params


def test_a_node_without_edges_gives_zeros():
    cell = next(block for block in SMALL.decode(SNAS_AGGRESSIVE).blocks if getattr(block, "reduction", False))
    out = build_block(cell).eval()((torch.randn(1, 12, 16, 16), torch.randn(1, 16, 16, 16)))[1]
    assert [bool(part.any()) for part in out.chunk(4, dim=1)] == [True, True, False, False]


def test_a_cell_computes_what_the_paper_draws():
    """Each state to one number of channels, each node the sum of its edges, the nodes beside each other."""
    cell = SMALL.decode(DARTS_V2).blocks[1]
    block = build_block(cell).eval()
    x = torch.randn(2, 12, 16, 16)
    with torch.no_grad():
        last, out = block(x)  # the first cell takes one state for both
        states = [block.preprocess.before(x), block.preprocess.last(x)]
        for node in block.nodes:
            (a, first), (b, second) = zip(node.sources, node.operators, strict=True)
            states.append(first(states[a]) + second(states[b]))
    assert torch.equal(last, x) and torch.equal(out, torch.cat(states[2:], 1))


def test_codes_are_what_the_papers_count():
    sizes = [len(list(itertools.combinations(range(n), 2))) * 7**2 for n in (2, 3, 4, 5)]
    assert [len(d.candidates) for d in CIFAR.decisions] == sizes * 2
    assert CIFAR.size == pytest.approx(1.0767e18, rel=1e-4)
    for seed in range(5):
        architecture = CIFAR.sample(random.Random(seed))
        assert CIFAR.decode(CIFAR.genotype(architecture)) == architecture
    neighbours = list(SMALL.neighbours(SMALL.decode(DARTS_V2)))
    assert len(neighbours) == len(set(neighbours)) == 2 * sum(size - 1 for size in sizes)


def test_a_scaled_space_has_the_same_codes_at_another_depth():
    """Invariant 26: 20 cells with reductions at the 7th and the 14th, 8 for the search."""
    searched = CIFAR.scaled(cells=8, channels=16)
    small = searched.decode(DARTS_V2)
    large = searched.scaled(cells=20, channels=36).decode(small.code)
    assert large == CIFAR.decode(DARTS_V2)
    assert [i for i, b in enumerate(small.blocks[1:-1], 1) if b.reduction] == [3, 6]
    assert len(small.blocks[1:-1]) == 8 and small.blocks[1].channels == 16
    assert get_space("tiny").scaled(resolution=16).input_shape == (3, 16, 16)


@pytest.mark.parametrize(("convention", "affine", "norm"), [("darts", False, True), ("cdarts", False, False)])
def test_search_networks_have_the_batch_norms_of_their_papers(convention, affine, norm):
    space = SMALL.scaled(convention=convention)
    architecture = space.decode(DARTS_V2)
    assert architecture.code == SMALL.decode(DARTS_V2).code
    child = build_child(architecture)
    assert sum(p.numel() for p in child.parameters()) == architecture.params
    cells = [child.blocks[i] for i in range(1, 4)]
    norms = [m for cell in cells for m in cell.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {m.affine for m in norms} == {affine}
    pools = [spec for spec, _ in architecture.placed_blocks() if isinstance(spec, MaxPool | AvgPool)]
    assert pools and all(pool.norm == norm for pool in pools)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cells": 2}, "cells"),
        ({"channels": 7}, "even"),
        ({"channels": True}, "whole number"),
        ({"resolution": 30}, "multiple of 4"),
        ({"resolution": 200}, "multiple of 32"),
        ({"stem": "mnist"}, "cifar, imagenet"),
        ({"convention": "nasnet"}, "cdarts"),
        ({"depth": 3}, "has no option 'depth'"),
    ],
)
def test_impossible_networks_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        get_space("darts", **options)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "keys 0, 1, 2"),
        ({"0": DARTS_V1}, "keys 0, 1, 2"),
        ({**DARTS_V1, "normal": DARTS_V1["normal"][:-1]}, "two per node"),
        ({**DARTS_V1, "normal": [["conv_1x1", 0], *DARTS_V1["normal"][1:]]}, "unknown operator"),
        ({**DARTS_V1, "normal": [["sep_conv_3x3", 4], *DARTS_V1["normal"][1:]]}, "states before it"),
        ({**DARTS_V1, "reduce_concat": [2, 3, 4]}, "two per node"),
        ({**DARTS_V1, "reduce_concat": []}, "two per node"),
        ({**DARTS_V1, "normal_concat": [2, 3, 4, 10**9]}, "two per node"),
        ({"normal": 1}, "normal_concat"),
        (dict.fromkeys("012", "Genotype(__import__('os'))"), "text of a genotype"),
        (dict.fromkeys("012", "Genotype(normal=range(0, 9**9))"), "text of a genotype"),
        (dict.fromkeys("012", "(" * 5000), "text of a genotype"),
        ("{not json", "no JSON"),
    ],
)
def test_what_is_no_genotype_is_refused(data, says):
    with pytest.raises(UsageError, match=says):
        CIFAR.decode(data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"concat": [2, 3, 4, 6]}, "from 2 to 5"),
        ({"concat": []}, "concatenates"),
        ({"nodes": [{"kind": "zero", "channels": 4}] * 4}, "cell_node"),
        ({"channels": 8}, "4 input channels was given 8"),
        ({"reduction": True}, "stride 2"),
    ],
)
def test_a_damaged_cell_is_refused(change, says):
    good = SMALL.decode(DARTS_V2).blocks[1].to_json()
    assert spec_from_json(good) == SMALL.decode(DARTS_V2).blocks[1]
    with pytest.raises(HwnasError, match=says):
        spec_from_json(good | change)


def test_a_node_that_nothing_needs_is_refused():
    node = SMALL.decode(DARTS_V2).blocks[1].nodes[0]
    with pytest.raises(UsageError, match="nothing needs node 2"):
        TwoInputCell(12, 12, 4, (node, node), (3,))
    with pytest.raises(UsageError, match="operator for each"):
        CellNode((0, 1), node.operators[:1])


def test_an_image_of_odd_size_is_refused_where_it_is_halved():
    reduction = next(block for block in SMALL.decode(DARTS_V2).blocks if getattr(block, "reduction", False))
    with pytest.raises(HwnasError, match="even sides, not 5x4"):
        reduction.output_shape((reduction.in_channels, 5, 4))


def test_a_text_of_a_genotype_is_read_again():
    found = Genotype.read(DARTS_V2)
    assert Genotype.read(found.text()) == Genotype.read(found.to_json()) == found


def test_a_network_of_three_cells_has_a_genotype():
    found = SMALL.decode([0] * len(SMALL.decisions))
    assert SMALL.decode(SMALL.genotype(found)).blocks == found.blocks


def test_a_genotype_of_fewer_nodes_is_built_and_has_no_code():
    cell = "sep3 0, skip 1, sep3 0, skip 1"
    found = SMALL.decode(genotype(cell, cell, (2, 3), (2, 3)))
    assert found.code == "" and build_child(found)(torch.zeros(2, 3, 16, 16)).shape == (2, 5)
    with pytest.raises(HwnasError, match="has nothing where space 'darts' decides"):
        SMALL.indices(found)
