"""What is counted on a block's Graph: known answers, sums over a network, and nothing else touched."""

import random

import numpy as np
import pytest
import torch

from hwnas.child import ChildNetwork
from hwnas.errors import HwnasError
from hwnas.exporter.graph.lower import lower
from hwnas.latency.features import CACHE_BYTES, COSTS, FORM, block_features, feature_rows, graph_features
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip


def costs_of(spec, shape):
    return dict(zip(COSTS, block_features(spec, shape).costs, strict=True))


def test_an_inverted_residual_is_counted_operator_by_operator():
    spec = MBConv(16, 24, 5, 3, stride=2)
    costs = costs_of(spec, (16, 8, 8))
    expand, depthwise, project = 16 * 48 * 64, 25 * 48 * 16, 48 * 24 * 16
    assert costs["macs"] == expand + depthwise + project == spec.macs((16, 8, 8))
    assert costs["macs_depthwise"] == costs["macs_depthwise_from_5x5"] == costs["macs_strided"] == depthwise
    assert costs["macs_depthwise_from_7x7"] == costs["macs_spatial"] == costs["macs_grouped"] == 0
    assert costs["bytes_read"] == 4 * (16 * 64 + 48 * 64 + 48 * 16)
    assert costs["bytes_written"] == 4 * (48 * 64 + 48 * 16 + 24 * 16)
    assert costs["bytes_depthwise"] == 4 * (48 * 64 + 48 * 16)
    assert costs["bytes_of_weights"] == 4 * (16 * 48 + 48 + 25 * 48 + 48 + 48 * 24 + 24)
    assert (costs["operators"], costs["operators_element_wise"], costs["bytes_beyond_cache"]) == (3, 0, 0)


def test_a_residual_adds_one_element_wise_operator():
    costs = costs_of(MBConv(16, 16, 3, 3), (16, 8, 8))
    assert (costs["operators"], costs["operators_element_wise"]) == (4, 1)
    assert costs["bytes_element_wise"] == 3 * 4 * 16 * 64


def test_squeeze_and_excitation_and_hard_swish_are_seen():
    plain = costs_of(MBConv(16, 24, 3, 6), (16, 8, 8))
    rich = costs_of(MBConv(16, 24, 3, 6, activation="hard_swish", se_ratio=0.25), (16, 8, 8))
    assert plain["bytes_pooled"] == plain["operators_on_one_pixel"] == plain["bytes_curved"] == 0
    assert rich["bytes_pooled"] == 4 * (96 * 64 + 96)
    assert rich["operators_on_one_pixel"] >= 3  # pool, and two convolutions of one pixel
    assert rich["bytes_curved"] >= 2 * 4 * 96 * 64
    assert rich["bytes_of_weights_used_once"] >= 4 * 2 * 96 * 24


def test_channels_are_padded_to_tiles():
    assert costs_of(Conv(8, 16, 1), (8, 4, 4))["macs_of_padded_channels"] == 0
    assert costs_of(Conv(8, 12, 1), (8, 4, 4))["macs_of_padded_channels"] == pytest.approx(8 * 4 * 16)


def test_feature_maps_beyond_the_cache():
    costs = costs_of(Conv(3, 32, 3), (3, 64, 64))
    assert costs["bytes_beyond_cache"] == 4 * 32 * 64 * 64 - CACHE_BYTES
    assert costs["macs_spatial"] == costs["macs"]


def test_form_holds_logarithms_and_ratios():
    form = dict(zip(FORM, block_features(MBConv(16, 32, 5, 4, stride=2), (16, 8, 8)).form, strict=True))
    assert form["input_channels"] == 4
    assert form["input_height"] == 3
    assert (form["output_per_input_channels"], form["input_per_output_height"]) == (1, 1)
    assert form["widest_per_input_channels"] == 2
    assert 2 ** form["kernel"] == pytest.approx(5)


@pytest.mark.parametrize("spec", [Skip(16, 16), Skip(16, 32, 2), Head(16, 32, 10), Conv(16, 8)])
def test_every_kind_of_block_has_finite_features(spec):
    features = block_features(spec, (16, 8, 8))
    assert np.isfinite(features.costs).all() and np.isfinite(features.form).all()
    assert features.costs.any() != spec.is_identity
    assert features.costs[COSTS.index("macs")] == spec.macs((16, 8, 8))


def test_costs_of_a_network_are_the_sum_over_its_blocks():
    architecture = get_space("tiny").sample(random.Random(0))
    whole = graph_features(lower(ChildNetwork(architecture), (1, *architecture.input_shape))).costs
    blocks, _ = feature_rows([block for block in architecture.placed_blocks() if not block[0].is_identity])
    np.testing.assert_allclose(blocks.sum(0), whole)


def test_features_are_remembered_and_leave_the_seed_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = block_features(MBConv(24, 40, 3, 2), (24, 12, 12))
    assert torch.equal(torch.rand(1), expected)
    assert block_features(MBConv(24, 40, 3, 2), (24, 12, 12)) is first


def test_a_block_on_a_wrong_shape_is_refused():
    with pytest.raises(HwnasError, match="16"):
        block_features(Conv(16, 8), (8, 4, 4))


def test_no_blocks_are_no_rows():
    costs, forms = feature_rows([])
    assert (costs.shape, forms.shape) == ((0, len(COSTS)), (0, len(FORM)))
