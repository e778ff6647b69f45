"""Supernets that start from the weights of their largest network."""

import pytest
import torch

from hwnas.child import build_child
from hwnas.errors import UsageError
from hwnas.networks import get_network
from hwnas.pretrained import load_pretrained
from hwnas.spaces import get_space
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.start import largest_architecture, sorted_by_importance, start_from
from hwnas.supernet.superkernel_net import SuperKernelNet

LITE = get_space("lite", 32, 5)


@pytest.fixture(scope="module")
def pretrained():
    return load_pretrained(largest_architecture(LITE))


def images(side=32):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def close(a, b, limit=1e-4):
    return float((a - b).abs().max() / b.abs().max()) < limit


def test_the_largest_network_of_lite_is_efficientnet_lite0():
    assert largest_architecture(LITE).blocks == get_network("efficientnet-lite0", 1.0, 32, 5).blocks


def test_the_largest_network_of_lite_5_is_the_first_five_stages_with_their_weights(pretrained):
    space = get_space("lite-5", 32, 5)
    largest = largest_architecture(space)
    assert largest.blocks[:-1] == get_network("efficientnet-lite0", 1.0, 32, 5).blocks[: len(largest.blocks) - 1]
    assert largest.blocks[-2].out_channels == largest.blocks[-1].in_channels == 112
    net, short = SuperKernelNet(space).eval(), load_pretrained(largest)
    start_from(net, short)
    x = y = images()
    for ours, whole in zip(short.blocks[:-1], pretrained.blocks, strict=False):
        x, y = ours(x), whole(y)
        assert torch.equal(x, y)
    with torch.no_grad():
        assert close(net(images()), short.blocks[-1](x))


def test_a_superkernel_is_the_pretrained_network_while_everything_is_on(pretrained):
    net = SuperKernelNet(LITE).eval()
    start_from(net, pretrained)
    with torch.no_grad():
        assert close(net(images()), pretrained(images()))
        assert close(net.inherit(pretrained.architecture).eval()(images()), pretrained(images()))


def test_the_largest_candidates_of_a_sampled_net_are_the_pretrained_network(pretrained):
    net = SampledNet(LITE).eval()
    start_from(net, pretrained)
    largest = LITE.indices(pretrained.architecture)
    with torch.no_grad():
        assert close(net(images(), largest), pretrained(images()))


def test_smaller_candidates_are_the_more_important_channels_and_the_centre_of_the_kernel(pretrained):
    net = SampledNet(LITE)
    start_from(net, pretrained)
    position, decision = next((i, n) for i, n in enumerate(LITE.nodes) if getattr(n, "name", "") == "block 4")
    small, large = net.nodes[position][0], pretrained.blocks[position]
    spec = decision.candidates[0]
    assert (spec.kernel, spec.expand) == (3, 3)
    importance = large.project[0].weight.abs().sum((0, 2, 3))
    kept = importance.topk(spec.hidden_channels).indices
    torch.testing.assert_close(small.depthwise[0].weight, large.depthwise[0].weight[kept, :, 1:4, 1:4])
    torch.testing.assert_close(small.project[0].weight, large.project[0].weight[:, kept])
    torch.testing.assert_close(small.expand[1].running_var, large.expand[1].running_var[kept])


def test_sorting_changes_nothing_that_a_block_computes():
    space = get_space("single-path-se", 32, 5, 0.5)
    child = build_child(largest_architecture(space)).eval()
    for block, (spec, shape) in zip(child.blocks, child.architecture.chain(), strict=True):
        if spec.kind == "mbconv":
            x = torch.randn(1, *shape)
            with torch.no_grad():
                before = block(x)
                block.load_state_dict(sorted_by_importance(block))
                assert close(block(x), before)


@pytest.mark.parametrize("make", [SuperKernelNet, SampledNet])
def test_another_network_is_refused(make):
    with pytest.raises(UsageError, match="largest network only"):
        start_from(make(LITE), build_child(LITE.decode([0] * 15)))


def test_candidates_that_are_no_part_of_the_largest_are_refused():
    space = get_space("nas-bench-macro", 8, 5, 0.25)
    with pytest.raises(UsageError, match="other layers than it"):
        start_from(SampledNet(space), build_child(largest_architecture(space)))
