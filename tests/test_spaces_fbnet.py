"""The space of FBNet: its layers, its codes, and the codes of the public latency table."""

import csv
import gzip

import pytest

from hwnas.child import build_child
from hwnas.errors import UsageError
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip

SPACE = get_space("fbnet")


def test_it_has_22_layers_of_nine_candidates():
    assert len(SPACE.decisions) == 22
    assert {len(decision.candidates) for decision in SPACE.decisions} == {9}
    assert SPACE.size == 9**22


def test_its_stages_are_those_of_the_paper():
    shapes = [shape for node, shape in SPACE.positions() if node in SPACE.decisions]
    channels = [shape[0] for shape in shapes] + [SPACE.nodes[-1].in_channels]
    assert channels == [16, 16] + [24] * 4 + [32] * 4 + [64] * 4 + [112] * 4 + [184] * 4 + [352]
    assert [shape[1] for shape in shapes] == [112] * 2 + [56] * 4 + [28] * 4 + [14] * 8 + [7] * 4


def test_candidates_stand_in_the_order_of_the_benchmark():
    first = SPACE.decisions[1].candidates
    assert first[0] == MBConv(16, 24, 3, 1, 2)
    assert first[1] == MBConv(16, 24, 3, 1, 2, groups=2)
    assert first[7] == MBConv(16, 24, 5, 6, 2)
    assert first[8] == Skip(16, 24, 2)
    assert not first[8].is_identity
    assert SPACE.decisions[2].candidates[8].is_identity


def test_published_codes_round_trip(shared_data):
    with gzip.open(shared_data / "latency" / "help_fbnet.csv.gz", "rt") as file:
        codes = [row["arch_ops"] for row in csv.DictReader(file)]
    assert len(codes) == 5000
    for code in codes[::100]:
        assert SPACE.encode(SPACE.decode(code)) == code
        assert SPACE.decode(code.replace("-", ",")) == SPACE.decode(code)


@pytest.mark.parametrize("code", ["7-8-1", "-".join(["9"] * 22), "-".join(["x"] * 22)])
def test_wrong_codes_are_refused(code):
    with pytest.raises(UsageError, match="code"):
        SPACE.decode(code)


def test_layers_of_one_shape_share_their_blocks():
    """What lets few networks say much: 22 layers of 9 hold 102 blocks to tell apart, beside stem and head."""
    assert len(SPACE.distinct_blocks()) == 104


def test_a_network_has_the_counted_parameters():
    architecture = get_space("fbnet", resolution=32, num_classes=5, width=0.5).decode([1, 3, 5, 7, 8, 0] * 3 + [2] * 4)
    assert sum(p.numel() for p in build_child(architecture).parameters()) == architecture.params
