"""The space of SPOS and DSNAS: its published FLOPs table, both published networks, and the units' wiring."""

import csv

import pytest
import torch

from hwnas.blocks import build_block
from hwnas.errors import UsageError
from hwnas.space import OneOf
from hwnas.spaces import get_space
from hwnas.specs.shuffle_unit import ShuffleUnit

SPACE = get_space("shufflenet")

DSNAS = [0, 0, 3, 0, 3, 2, 0, 0, 3, 3, 2, 3, 3, 3, 2, 0, 0, 3, 3, 0]
SPOS = [0, 1, 2, 2, 1, 1, 2, 1, 3, 3, 0, 3, 0, 3, 0, 0, 2, 2, 2, 1]


def units():
    return [(node, shape) for node, shape in SPACE.positions() if isinstance(node, OneOf)]


def test_18_the_published_flops_table_in_80_of_80_entries(shared_data):
    with (shared_data / "nas" / "dsnas_flops_table.csv").open() as file:
        published = [[int(value) for name, value in row.items() if name != "layer"] for row in csv.DictReader(file)]
    ours = [[spec.macs(shape) for spec in node.candidates] for node, shape in units()]
    assert ours == published
    assert len(ours) == 20


def test_18_some_entries_of_the_published_table():
    """SNAS-Series, DSNAS/network.py: layers 0, 1 and 16."""
    macs = [[spec.macs(shape) for spec in node.candidates] for node, shape in units()]
    assert macs[0] == [13396992, 15805440, 19418112, 13146112]
    assert macs[1] == [7325696, 8931328, 11339776, 12343296]
    assert macs[16] == [30387840, 30889600, 31642240, 20634880]


@pytest.mark.parametrize(("code", "total", "params"), [(DSNAS, 324.3494, 3_548_176), (SPOS, 322.8567, 3_340_096)])
def test_18_the_published_networks(code, total, params):
    """The authors count the last layer's multiplications and additions, (2 * 1024 - 1) * 1000; we count the former."""
    architecture = SPACE.decode(code)
    authors_macs = architecture.macs - 1024 * 1000 + (2 * 1024 - 1) * 1000
    assert authors_macs / 1e6 == pytest.approx(total, abs=5e-5)
    assert architecture.params == params


@pytest.mark.parametrize("kernel_or_xception", [3, 5, 7, "xception"])
@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), [(16, 64, 2), (64, 64, 1)])
def test_a_unit_is_what_its_spec_says(kernel_or_xception, in_channels, out_channels, stride):
    xception = kernel_or_xception == "xception"
    spec = ShuffleUnit(in_channels, out_channels, 3 if xception else kernel_or_xception, stride, xception)
    block = build_block(spec).eval()
    assert sum(p.numel() for p in block.parameters()) == spec.params
    with torch.no_grad():
        out = block(torch.randn(2, in_channels, 15, 14))
    assert out.shape == (2, *spec.output_shape((in_channels, 15, 14)))


def test_even_channels_pass_a_unit_of_stride_one_unchanged():
    block = build_block(ShuffleUnit(8, 8)).eval()
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        out = block(x)
        torch.testing.assert_close(out[:, :4], x[:, 0::2])
        torch.testing.assert_close(out[:, 4:], block.main(x[:, 1::2]))


def test_a_unit_round_trips_through_json_and_the_space_through_codes():
    architecture = SPACE.decode(DSNAS)
    assert SPACE.indices(type(architecture).from_json(architecture.to_json())) == tuple(DSNAS)
    assert SPACE.size == 4**20


@pytest.mark.parametrize(
    "fields", [(16, 64, 3, 1), (15, 15, 3, 1), (64, 64, 3, 2), (16, 63, 3, 2), (16, 64, 5, 2, True)]
)
def test_impossible_units_are_refused(fields):
    with pytest.raises(UsageError):
        ShuffleUnit(*fields)
