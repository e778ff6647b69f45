"""Specs: shapes, costs, JSON, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.blocks import build_block
from hwnas.errors import HwnasError, UsageError
from hwnas.specs.conv import Conv
from hwnas.specs.conv_head import ConvHead
from hwnas.specs.fire import Fire
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.pool import MaxPool
from hwnas.specs.pool_head import PoolLinear
from hwnas.specs.separable import Separable
from hwnas.specs.skip import Skip
from hwnas.specs.spec import known_specs, spec_from_json
from hwnas.specs.universal_bottleneck import UniversalBottleneck
from hwnas.specs.unpadded_conv import UnpaddedConv

EXAMPLES = [example for kind in sorted(known_specs()) for example in known_specs()[kind].examples()]
"""Every block's own: a new one is tried here without a line of its own."""
EACH = pytest.mark.parametrize(("spec", "shape"), EXAMPLES, ids=lambda value: str(value))


@pytest.mark.parametrize("kind", sorted(known_specs()))
def test_every_block_has_examples_of_its_own(kind):
    examples = known_specs()[kind].examples()
    assert examples and all(type(spec) is known_specs()[kind] for spec, _shape in examples)


@EACH
def test_json_round_trip(spec, shape):
    assert spec_from_json(spec.to_json()) == spec


def test_json_leaves_out_defaults_so_that_a_spec_may_grow():
    assert MBConv(8, 8, 3, 6).to_json() == {
        "kind": "mbconv",
        "in_channels": 8,
        "out_channels": 8,
        "kernel": 3,
        "expand": 6,
    }


def test_an_expansion_is_a_ratio_whose_channels_are_rounded():
    assert MBConv(24, 24, 3, 88 / 24).hidden_channels == 88
    assert MBConv(8, 8, 3, 6.0).to_json() == MBConv(8, 8, 3, 6).to_json()
    assert str(MBConv(8, 8, 3, 2.5)) == "MBConv(k3 e2.5 8->8 s1)"


@pytest.mark.parametrize("stride", [1, 2])
def test_a_max_pool_halves_the_size_or_keeps_it(stride):
    import torch

    spec = MaxPool(4, stride=stride)
    x = torch.randn(2, 4, 9, 8)
    out = build_block(spec)(x)
    assert tuple(out.shape[1:]) == spec.output_shape((4, 9, 8))
    assert spec.params == spec.macs((4, 9, 8)) == 0
    torch.testing.assert_close(out[:, :, 1, 1], x[:, :, stride - 1 : stride + 2, stride - 1 : stride + 2].amax((2, 3)))


@given(st.integers(1, 5), st.sampled_from([1, 2]), st.integers(5, 13), st.integers(5, 13))
def test_a_pool_without_padding_has_the_shape_of_the_module(kernel, stride, height, width):
    import torch

    spec = MaxPool(2, kernel, stride, padded=False)
    assert tuple(build_block(spec)(torch.zeros(1, 2, height, width)).shape[1:]) == spec.output_shape((2, height, width))


@pytest.mark.parametrize("spec", [MaxPool(3, padded=False), UnpaddedConv(3, 8)], ids=str)
def test_an_input_smaller_than_an_unpadded_window_is_refused(spec):
    with pytest.raises(HwnasError, match="3x3 pixels or more, not 9x2"):
        spec.output_shape((3, 9, 2))


@given(
    st.sampled_from([3, 5, 7]),
    st.integers(1, 6),
    st.sampled_from([1, 2]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(2, 13),
)
def test_shape_and_parameters_are_those_of_the_module(kernel, expand, stride, in_channels, out_channels, side):
    import torch

    spec = MBConv(in_channels, out_channels, kernel, expand, stride)
    block = build_block(spec).eval()
    with torch.no_grad():
        out = block(torch.zeros(1, in_channels, side, side))
    assert tuple(out.shape[1:]) == spec.output_shape((in_channels, side, side))
    assert sum(p.numel() for p in block.parameters()) == spec.params


@EACH
def test_shape_parameters_and_macs_are_those_of_the_module(spec, shape):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    block = build_block(spec).eval()
    assert sum(p.numel() for p in block.parameters()) == spec.params
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = block(torch.zeros(1, *shape))
    output_shape = spec.output_shape(shape)
    assert tuple(out.shape[1:]) == (output_shape if out.ndim == 4 else output_shape[:1])
    assert counter.get_total_flops() == 2 * spec.macs(shape)


SAVED_AS = {
    Conv(3, 8): {"layers.0", "layers.1"},
    Head(8, 16, 4, features=8): {"conv.0", "conv.1", "features.0", "classifier"},
    MBConv(8, 8, 3, 6, se_ratio=0.25): {
        *("expand.0", "expand.1", "depthwise.0", "depthwise.1", "project.0", "project.1"),
        *("squeeze_excite.reduce", "squeeze_excite.expand"),
    },
    Separable(8, 8): {"depthwise.0", "depthwise.1", "pointwise.0", "pointwise.1"},
    Skip(8, 16): {"shortcut.0", "shortcut.1"},
    UniversalBottleneck(8, 8, 3, 3, 2): {
        f"layers.{layer}.{part}" for layer in ("start", "expand", "depthwise", "project") for part in (0, 1)
    },
}


@pytest.mark.parametrize("spec", SAVED_AS, ids=str)
def test_weights_that_were_saved_keep_their_names(spec):
    assert {name.rpartition(".")[0] for name in build_block(spec).state_dict()} == SAVED_AS[spec]


@EACH
def test_every_block_is_exported_to_both_formats(spec, shape, tmp_path):
    from hwnas.exporter.export import export

    if spec.is_identity:
        pytest.skip("there is nothing to export")
    models = export(build_block(spec), tmp_path, input_shape=(1, *shape))
    assert {model.path.suffix for model in models} == {".tflite", ".onnx"}


@EACH
def test_the_costs_of_every_block_can_be_estimated(spec, shape):
    from hwnas.latency.features import feature_rows

    rows, _forms = feature_rows([(spec, shape)])
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(("hidden", "squeezed"), [(72, 24), (120, 32), (480, 120), (672, 168), (960, 240)])
def test_squeezed_channels_are_those_of_mobilenet_v3_large(hidden, squeezed):
    """Howard et al. 2019, as in torchvision: a quarter of the expanded channels, divisible by 8."""
    assert MBConv(hidden, 8, 3, 1, se_ratio=0.25).squeezed_channels == squeezed


def test_a_grouped_block_says_so_and_always_has_its_first_convolution():
    plain, grouped = MBConv(16, 16, 3, 1), MBConv(16, 16, 3, 1, groups=2)
    assert (str(plain), str(grouped)) == ("MBConv(k3 e1 16->16 s1)", "MBConv(k3 e1 16->16 s1 g2)")
    assert (plain.has_expansion, grouped.has_expansion) == (False, True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Conv(3, 0), "out_channels"),
        (lambda: Conv(3, 8, kernel=4), "odd"),
        (lambda: MBConv(8, 8, 3, 0), "expand"),
        (lambda: MBConv(8, 8, 3, 6, stride=3), "stride"),
        (lambda: MBConv(8, 8, 3, 6, se_ratio=1.5), "se_ratio"),
        (lambda: MBConv(8, 12, 3, 6, groups=8), "groups"),
        (lambda: Conv(3, 8, activation="swish"), "hard_swish"),
        (lambda: Head(8, 8, 10, dropout=1.0), "dropout"),
        (lambda: Head(8, 8, 10, features=-1), "features"),
        (lambda: MBConv(8, 8, 3, float("nan")), "expand"),
        (lambda: MaxPool(8, kernel=2), "odd"),
        (lambda: MaxPool(8, kernel=64, padded=False), "from 1 to 63"),
        (lambda: PoolLinear(8, 10, dropout=1.0), "dropout"),
        (lambda: ConvHead(8, 10, dropout=1.0), "dropout"),
        (lambda: Fire(8, 4, 9), "even"),
        (lambda: UniversalBottleneck(8, 8, 0, 0, 4, stride=2), "start_kernel or kernel"),
        (lambda: UniversalBottleneck(8, 8, 4, 0, 4), "odd"),
    ],
)
def test_impossible_blocks_are_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_wrong_input_channels_are_refused():
    with pytest.raises(HwnasError, match="16 input channels was given 8"):
        Conv(16, 8).output_shape((8, 4, 4))


@pytest.mark.parametrize("data", [{"kind": "fire"}, {"kind": "conv", "in_channels": 3}, {"kind": "skip", "x": 1}, 7])
def test_foreign_json_is_refused(data):
    with pytest.raises(HwnasError):
        spec_from_json(data)
