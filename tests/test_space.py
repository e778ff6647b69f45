"""The walker and what stands on it; each space against its published figures."""

import csv
import gzip
import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.child import build_child
from hwnas.errors import HwnasError, UsageError
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.spaces import SPACES, get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip

PUBLISHED_SINGLE_PATH = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"


@pytest.mark.parametrize(
    ("code", "macs", "params"),
    [
        (PUBLISHED_SINGLE_PATH, 333_467_072, 4_421_616),
        (",".join("0" * 20), 272_126_912, 3_494_328),
        (",".join("1" * 20), 472_620_800, 4_684_776),
        (",".join("2" * 20), 298_469_312, 3_568_824),
        (",".join("3" * 20), 525_305_600, 4_833_768),
    ],
)
def test_single_path_networks_have_the_published_size(code, macs, params):
    """Invariant 11: the published net of arXiv 1904.02877 and the four uniform ones."""
    architecture = get_space("single-path").decode(code)
    assert (architecture.macs, architecture.params) == (macs, params)


def test_single_path_weights_are_as_many_as_the_spec_says():
    child = build_child(get_space("single-path").decode(PUBLISHED_SINGLE_PATH))
    assert sum(p.numel() for p in child.parameters()) == 4_421_616


def test_single_path_size():
    assert get_space("single-path").size == 5**15 * 4**5


def test_nas_bench_macro_matches_every_row_of_the_published_table(shared_data):
    space = get_space("nas-bench-macro")
    with gzip.open(shared_data / "nas_bench_macro.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == space.size == 6561
    digests = set()
    for row in rows:
        architecture = space.decode(row["arch"])
        assert (architecture.macs, architecture.params) == (int(row["flops"]), int(row["params"])), row["arch"]
        assert space.encode(architecture) == row["arch"]
        digests.add(architecture.digest)
    assert len(digests) == 3969  # codes that differ only in where an identity stands are one network


def test_nas_bench_macro_smallest_network_by_hand():
    smallest = get_space("nas-bench-macro").decode("00000000")
    assert (smallest.params, smallest.macs) == (387_882, 7_713_280)


@pytest.mark.parametrize("name", SPACES)
def test_conformance_of_every_space(name):
    """What every space must be able to do; a new one is covered by its line in the registry."""
    space = get_space(name, resolution=32, num_classes=7, width=0.5)
    rng = random.Random(0)
    assert space.options == {"resolution": 32, "num_classes": 7, "width": 0.5}
    for _ in range(20):
        architecture = space.sample(rng)
        assert space.decode(space.encode(architecture)) == architecture
        assert space.decode(architecture.code) == architecture
        again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
        assert again == architecture
        assert again.digest == architecture.digest
        assert list(architecture.placed_blocks())[-1][0].num_classes == 7
    blocks = space.distinct_blocks()
    assert len(set(blocks)) == len(blocks)
    for _ in range(5):
        used = {b for b in space.sample(rng).placed_blocks() if not b[0].is_identity}
        assert used <= set(blocks)


@pytest.mark.parametrize("name", SPACES)
def test_a_child_of_every_space_runs_and_has_the_counted_parameters(name):
    import torch

    space = get_space(name, resolution=32, num_classes=5, width=0.25)
    architecture = space.sample(random.Random(3))
    child = build_child(architecture).eval()
    assert child(torch.zeros(2, *architecture.input_shape)).shape == (2, 5)
    assert sum(p.numel() for p in child.parameters()) == architecture.params


@given(st.integers(0, 4**3 * 5**4 - 1))
def test_tiny_codes_round_trip(number):
    space = get_space("tiny")
    code = []
    for decision in space.decisions:
        number, index = divmod(number, len(decision.candidates))
        code.append(index)
    architecture = space.decode(code)
    assert space.encode(architecture) == tuple(code)
    assert space.indices(architecture) == tuple(code)


def test_sampling_is_uniform_repeatable_and_takes_either_kind_of_generator():
    space = get_space("nas-bench-macro")
    assert space.sample(random.Random(1)) == space.sample(random.Random(1))
    assert space.sample(np.random.default_rng(1)) == space.sample(np.random.default_rng(1))
    counts = np.bincount([int(space.sample(random.Random(i)).code[0]) for i in range(600)], minlength=3)
    assert counts.min() > 150


def test_two_decisions_of_one_name_are_one_decision():
    choice = OneOf("cell", (MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 3)))
    space = SearchSpace("shared", (Conv(3, 8), choice, choice, Head(8, 8, 2)), (3, 8, 8))
    assert space.size == 2
    assert space.decode([1]).blocks[1] == space.decode([1]).blocks[2] == MBConv(8, 8, 5, 3)
    assert space.encode(space.decode([1])) == (1,)
    mixed = Architecture((Conv(3, 8), choice.candidates[0], choice.candidates[1], Head(8, 8, 2)), (3, 8, 8))
    with pytest.raises(HwnasError, match="two ways"):
        space.encode(mixed)


def test_one_name_with_two_meanings_is_refused():
    nodes = (OneOf("a", (Conv(3, 8),)), OneOf("a", (Conv(8, 8, kernel=5),)))
    with pytest.raises(UsageError, match="different candidates"):
        _ = SearchSpace("wrong", nodes, (3, 8, 8)).decisions


def test_candidates_of_different_output_shapes_are_refused():
    with pytest.raises(UsageError, match="different output shapes"):
        SearchSpace("wrong", (OneOf("a", (Conv(3, 8), Conv(3, 16))),), (3, 8, 8))


@pytest.mark.parametrize(
    "code", ["", "0,0,0", "0000000000", "x" * 7, [0, 0, 0, 0, 0, 0, 9], [0.5] * 7, "4,0,0,0,0,0,0", [-1] * 7]
)
def test_wrong_codes_are_refused_with_the_rule(code):
    with pytest.raises(UsageError, match="code"):
        get_space("tiny").decode(code)


def test_an_architecture_of_another_space_is_refused():
    with pytest.raises(HwnasError, match="not one of"):
        get_space("tiny").encode(get_space("nas-bench-macro").decode("00000000"))
    with pytest.raises(HwnasError):
        get_space("tiny").encode(get_space("tiny", num_classes=3).decode([0] * 7))


def test_identities_do_not_change_the_digest():
    space = get_space("nas-bench-macro")
    one, two = space.decode("22212220"), space.decode("22212202")
    assert one.digest == two.digest
    assert one != two


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "tny"},
        {"name": "tiny", "resolution": 4},
        {"name": "tiny", "num_classes": 1},
        {"name": "tiny", "width": 0},
    ],
)
def test_get_space_refuses(wrong):
    with pytest.raises(UsageError):
        get_space(**wrong)


def test_damaged_architecture_json_is_refused():
    good = get_space("tiny").decode([0] * 7).to_json()
    for damaged in [
        {},
        [],
        {**good, "format": "other"},
        {**good, "input_shape": [3]},
        {**good, "blocks": [{"kind": "x"}]},
    ]:
        with pytest.raises(HwnasError):
            Architecture.from_json(damaged)


def test_skip_is_an_identity_only_where_the_shape_stays():
    assert Skip(8, 8).is_identity
    assert not Skip(8, 16, 2).is_identity


@pytest.mark.parametrize("name", SPACES)
def test_what_is_printed_of_a_space_is_one_short_line(name):
    space = get_space(name)
    for text in map(repr, (space, space.sample(random.Random(0)), *space.decisions)):
        assert len(text) < 120 and "\n" not in text
    assert repr(space).startswith(f"SearchSpace('{name}', ")
    assert repr(space.decode([0] * len(space.decisions))).startswith(f"Architecture('{name} ")


def test_a_name_from_a_file_is_cut_off_and_escaped_where_it_is_printed():
    architecture = Architecture((Conv(3, 8),), (3, 8, 8), "a\nlong name " * 30, "0")
    assert len(repr(architecture)) < 120 and "\n" not in repr(architecture)
