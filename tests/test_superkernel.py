"""Superkernels: invariants 1 to 4, 7, 9, 10 and 12 of Single-Path NAS, and what is nested beyond the paper."""

import copy
import itertools
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from hwnas.errors import UsageError
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.supernet.indicator import Indicator, step
from hwnas.supernet.nesting import Nesting
from hwnas.supernet.superkernel import MASKS, SIZES, BlockIndicators, SuperKernel
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.evaluate import recalibrate_batch_norm
from hwnas.train.optim import rmsprop_tf
from tests.weekly import weekly_except

FOUR = [(3, 3), (3, 6), (5, 3), (5, 6)]


def decision(stride=1, kernel_expand=FOUR, ratios=(0.0,), activation="relu") -> OneOf:
    blocks = [
        MBConv(8, 8, k, e, stride, activation=activation, se_ratio=ratio) for k, e in kernel_expand for ratio in ratios
    ]
    return OneOf("block", (*blocks, Skip(8, 8)) if stride == 1 else tuple(blocks))


def shaken(module: nn.Module, seed=0) -> nn.Module:
    """With weights and statistics of batch norm that are not those of the start, so that no term is 0 by chance."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                tensor.data += 0.3 * torch.randn(tensor.shape, generator=generator)
    return module


def superkernel(one_of: OneOf, **options) -> SuperKernel:
    torch.manual_seed(0)
    return shaken(SuperKernel(one_of, **options))


def set_choice(node: SuperKernel, spec) -> None:
    """Thresholds so far out that the indicators choose `spec`."""
    nesting = node.nesting
    with torch.no_grad():
        for thresholds in (node.kernel_thresholds, node.width_thresholds, node.squeeze_thresholds, node.keep_threshold):
            thresholds.fill_(-1e6)
        if isinstance(spec, Skip):
            node.keep_threshold.fill_(1e6)
        else:
            node.kernel_thresholds[nesting.kernels.index(spec.kernel) :] = 1e6
            node.width_thresholds[nesting.expansions.index(spec.expand) :] = 1e6  # there is none if it is tied
            node.squeeze_thresholds[nesting.ratios.index(spec.se_ratio) :] = 1e6


def by_hand(kernel=(), width=(), squeeze=(), keep=()) -> BlockIndicators:
    values = [torch.tensor(list(v), dtype=torch.float64) for v in (kernel, width, squeeze, keep)]
    return BlockIndicators(*(Indicator(v - 0.5, v) for v in values))


def child_block(node: SuperKernel, spec) -> nn.Module:
    from hwnas.blocks import build_block

    block = build_block(spec)
    block.load_state_dict({name: tensor.clone() for name, tensor in node.candidate_state(block).items()})
    return block.train(node.training)


def image(channels=8, side=9, batch=4) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", SIZES)
def test_1_with_all_thresholds_low_it_is_the_largest_block(mask, size):
    node = superkernel(decision(), mask=mask, size=size)
    set_choice(node, MBConv(8, 8, 5, 6))
    for training in (True, False):
        node.train(training)
        assert torch.equal(node(image(), node.indicators()), child_block(node, MBConv(8, 8, 5, 6))(image()))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [8, 9])
def test_2_without_the_ring_it_is_the_block_of_kernel_3(mask, stride, side):
    node = superkernel(decision(stride), mask=mask).eval()
    set_choice(node, MBConv(8, 8, 3, 6, stride))
    expected = child_block(node, MBConv(8, 8, 3, 6, stride))
    assert torch.equal(expected.depthwise[0].weight, node.block.depthwise[0].weight[:, :, 1:4, 1:4])
    torch.testing.assert_close(node(image(side=side), node.indicators()), expected(image(side=side)))


def test_3_published_masking_silences_the_second_half_and_is_e3_only_at_the_start():
    torch.manual_seed(0)
    node = SuperKernel(decision(), mask="kernel")
    e3 = MBConv(8, 8, 5, 3)
    outputs = []
    node.block.depthwise[1].register_forward_pre_hook(lambda _module, inputs: outputs.append(inputs[0]))
    whole = node(image(), node.indicators())
    set_choice(node, e3)
    half = node(image(), node.indicators())
    assert not torch.equal(whole, half)
    assert torch.equal(outputs[1][:, :24], outputs[0][:, :24])
    assert not outputs[1][:, 24:].any()
    torch.testing.assert_close(half, child_block(node, e3)(image()))
    shaken(node).eval()  # then relu(beta) of the dead channels leaks through the projection, as is known of the method
    assert not torch.allclose(node(image(), node.indicators()), child_block(node, e3)(image()), atol=0.1)


def test_4_published_skip_silences_all_and_a_first_block_of_a_stage_has_none():
    node = superkernel(decision(), mask="kernel")
    outputs = []
    node.block.depthwise[1].register_forward_pre_hook(lambda _module, inputs: outputs.append(inputs[0]))
    for kernel, width in itertools.product((0, 1), repeat=2):
        indicators = BlockIndicators(
            *(Indicator(torch.tensor(v), torch.tensor(v)) for v in ([float(kernel)], [float(width)], [], [0.0]))
        )
        node(image(), indicators)
        assert not outputs[-1].any()
        assert node.candidate_gates(indicators).tolist() == [0, 0, 0, 0, 1]
    first = superkernel(decision(stride=2))
    assert len(first.keep_threshold) == 0
    assert first.indicators().kept == 1


def test_7_an_indicator_is_0_or_1_and_has_the_gradient_of_a_sigmoid():
    slack = torch.tensor([-30.0, -1.0, -1e-6, 0.0, 1e-6, 2.0], dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    value = step(slack)
    assert value.tolist() == [0, 0, 0, 1, 1, 1]
    (value * weights).sum().backward()
    s = torch.sigmoid(slack.detach())
    torch.testing.assert_close(slack.grad, weights * s * (1 - s))
    assert torch.autograd.gradcheck(torch.sigmoid, slack.detach().requires_grad_(True))


@pytest.mark.parametrize("size", SIZES)
def test_the_indicators_gradient_reaches_thresholds_and_weights(size):
    """-sigma' at the threshold; +sigma' w / ||w|| at the weights for the plain norm."""
    node = superkernel(decision(), size=size)
    indicators = node.indicators()
    indicators.kernel.value.sum().backward()
    slack = indicators.kernel.slack.detach()
    slope = torch.sigmoid(slack) * (1 - torch.sigmoid(slack))
    torch.testing.assert_close(node.kernel_thresholds.grad, -slope)
    weight = node.block.depthwise[0].weight
    ring = weight.detach() * node.rings[1]
    scale = 1.0 if size == "l2" else (ring != 0).sum() ** -0.5
    torch.testing.assert_close(weight.grad, slope * scale * ring / ring.norm())


def test_sizes_are_the_norms_of_what_the_kernel_leaves():
    node = superkernel(decision(), size="l2")
    weight = node.block.depthwise[0].weight.detach()
    centre, ring = weight[:, :, 1:4, 1:4], weight * node.rings[1]
    full = node.indicators()
    torch.testing.assert_close(full.kernel.slack, ring.norm()[None])
    torch.testing.assert_close(full.width.slack, weight[24:].norm()[None])
    torch.testing.assert_close(full.keep.slack, weight[:24].norm()[None])
    set_choice(node, MBConv(8, 8, 3, 6))
    node.width_thresholds.data.zero_()
    node.keep_threshold.data.zero_()
    small = node.indicators()
    torch.testing.assert_close(small.width.slack, centre[24:].norm()[None])
    torch.testing.assert_close(small.keep.slack, centre[:24].norm()[None])
    small.keep.value.sum().backward()
    assert node.kernel_thresholds.grad.isfinite().all()


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_all_kinds_of_indicators_start_equally_far_from_their_thresholds(width):
    """What is decoded compares them: one that starts nearer is given up first, whatever it is worth."""
    for one_of in get_space("single-path-se", num_classes=10, width=width).decisions[1:20:6]:
        torch.manual_seed(0)
        node = SuperKernel(one_of)
        with torch.no_grad():
            indicators = node.indicators()
        for kind in ("kernel", "width", "squeeze", "keep"):
            slack = getattr(indicators, kind).slack
            assert len(slack) and slack.tolist() == pytest.approx([0.283] * len(slack), rel=0.15), (one_of.name, kind)


def test_the_published_size_of_a_squeeze_is_the_plain_norm():
    torch.manual_seed(0)
    node = SuperKernel(get_space("single-path-se", num_classes=10, width=0.25).decisions[1], "l2", "kernel")
    rows = node.block.squeeze_excite.reduce.weight.detach().flatten(1)
    assert float(node.indicators().squeeze.slack.detach().norm()) == pytest.approx(float(rows.norm()))


@pytest.mark.parametrize("worth_it", weekly_except([False], [True, False]))
def test_squeeze_and_excitation_is_kept_where_it_is_worth_it_and_lost_where_not(worth_it):
    """What is to be learnt is the output of one candidate: with it and the small kernel, or the other way round."""
    torch.manual_seed(0)
    node = SuperKernel(get_space("single-path-se", resolution=16, num_classes=10, width=0.25).decisions[1])
    teacher = copy.deepcopy(node)
    for layer in (teacher.block.squeeze_excite.reduce, teacher.block.squeeze_excite.expand):
        layer.weight.data *= 6  # gates that differ between images, which no batch norm can undo
    sizes = [(c.kernel, c.expand, c.se_ratio) if isinstance(c, MBConv) else () for c in node.nesting.one_of.candidates]
    planted = sizes.index((3, 6, 0.5) if worth_it else (5, 6, 0.0))
    cost = torch.tensor([s[0] / 2 + s[1] / 3 + (s[2] > 0) if s else 1.0 for s in sizes])
    optimizer = rmsprop_tf(node, lr=0.01, weight_decay=1e-5)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        shape = 16, node.nesting.largest.in_channels, 6, 6
        x = 2 * torch.rand(*shape[:2], 1, 1, generator=generator) * torch.randn(shape, generator=generator)
        with torch.no_grad():
            y = teacher.run_candidate(x, planted)
        indicators = node.indicators()
        loss = (node(x, indicators) - y).square().mean() + 0.02 * node.candidate_gates(indicators) @ cost
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert bool(node.indicators().squeeze.value[0]) == worth_it


@pytest.mark.weekly
def test_9_dropout_scales_what_it_keeps_and_is_unbiased():
    node = superkernel(decision())
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([node.candidate_gates(node.indicators(0.6, generator)) for _ in range(3000)])
    values = torch.stack([node.indicators(0.6, generator).width.value for _ in range(200)])
    assert {round(v, 4) for v in values.flatten().tolist()} == {0.0, round(1 / 0.6, 4)}
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0])  # all indicators are 1
    assert (draws.mean(0) - expected).abs().max() < 4 * draws.std(0).max() / 3000**0.5
    assert torch.equal(node.candidate_gates(node.indicators(1.0)), expected)


def test_10_all_eight_triples_decode_as_the_paper_says():
    """(kernel, keep, width): guards against the exchange of 3x3-e6 and 5x5-e3 in the authors' released decoder."""
    node = SuperKernel(decision())
    names = {(3, 3): (0, 1, 0), (3, 6): (0, 1, 1), (5, 3): (1, 1, 0), (5, 6): (1, 1, 1)}
    for d5, d50, d100 in itertools.product((0, 1), repeat=3):
        indicators = by_hand([d5], [d100], keep=[d50])
        gates = node.candidate_gates(indicators)
        assert gates.sum() == 1
        spec = node.nesting.one_of.candidates[int(gates.argmax())]
        assert int(node.candidate_scores(indicators).argmax()) == int(gates.argmax())
        if d50 == 0:
            assert spec.is_identity
        else:
            assert names[spec.kernel, spec.expand] == (d5, d50, d100)


def test_10_what_is_set_is_what_is_chosen():
    node = superkernel(decision(ratios=(0.0, 0.25, 0.5)))
    assert len(node.nesting.one_of.candidates) == 13
    for index, spec in enumerate(node.nesting.one_of.candidates):
        set_choice(node, spec)
        assert int(node.candidate_gates(node.indicators()).argmax()) == index
        assert int(node.candidate_scores(node.indicators()).argmax()) == index


def test_scores_are_the_logarithms_of_the_likeliest_indicators():
    """Checked against all combinations of the indicators."""
    node = superkernel(decision(kernel_expand=list(itertools.product((3, 5, 7), (2, 4, 6)))))
    generator = torch.Generator().manual_seed(1)
    kernel, width, keep = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (2, 2, 1))
    best = dict.fromkeys(range(len(node.nesting.one_of.candidates)), -float("inf"))
    for bits in itertools.product((0.0, 1.0), repeat=5):
        p = torch.sigmoid(torch.cat([kernel, width, keep]))
        on = torch.tensor(bits, dtype=torch.float64)
        score = float(torch.where(on > 0, p, 1 - p).log().sum())
        index = int(node.candidate_gates(by_hand(bits[:2], bits[2:4], keep=bits[4:])).argmax())
        best[index] = max(best[index], score)
    axes = (Indicator(slack, (slack >= 0).double()) for slack in (kernel, width, torch.empty(0), keep))
    scores = node.candidate_scores(BlockIndicators(*axes))
    torch.testing.assert_close(scores, torch.tensor(list(best.values()), dtype=torch.float64))


def test_12_the_thresholds_are_the_papers_sixty_without_the_five_that_decide_nothing():
    net = SuperKernelNet(get_space("single-path", resolution=32, width=0.25))
    assert sum(p.numel() for _, p in net.architecture_parameters()) == 60 - 5
    assert all((p == 0).all() for _, p in net.architecture_parameters())
    assert net.chosen() == [3] * 20


def randomly_decided(space: SearchSpace, seed: int):
    torch.manual_seed(0)
    net = shaken(SuperKernelNet(space))
    architecture = space.sample(random.Random(seed))
    for node, index in zip(net.superkernels(), space.indices(architecture), strict=True):
        set_choice(node, node.nesting.one_of.candidates[index])
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net, architecture


def free_space(kernels=(3, 5, 7), expansions=(2, 4, 6), ratios=(0.0, 0.5), activation="hard_swish") -> SearchSpace:
    candidates = [(k, e) for k in kernels for e in expansions]
    first = decision(2, candidates, ratios, activation)
    second = replace(decision(1, candidates, ratios, activation), name="second")
    return SearchSpace("free", (Conv(3, 8), first, second, Head(8, 16, 7)), (3, 21, 13))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", weekly_except([0], range(4)))
@pytest.mark.parametrize("name", ["tiny", "single-path", "single-path-se", "nas-bench-macro", "free"])
def test_a_child_equals_the_supernet_with_the_same_decisions(name, seed, training):
    """Also with batch norms far from their start, where the published masking would differ."""
    space = free_space() if name == "free" else get_space(name, resolution=16, num_classes=7, width=0.25)
    net, architecture = randomly_decided(space, seed)
    # in double precision: a batch norm over four values of nearly no variance multiplies what float32 rounds
    net = net.double().train(training)
    child = net.inherit(architecture).double().train(training)
    images = torch.randn(4, *space.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for module in child.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        expected = child(images)
        assert net.chosen() == list(space.indices(architecture))
        torch.testing.assert_close(net.run_path(images, net.chosen()), expected, rtol=0, atol=0)
        torch.testing.assert_close(net(images), expected, rtol=1e-6, atol=1e-6)


def test_running_an_architecture_trains_its_part_of_the_weights_and_its_statistics():
    net, architecture = randomly_decided(free_space(), 1)
    child = net.train().inherit(architecture).train()
    images = torch.randn(4, 3, 21, 13)
    net.run_path(images, net.chosen()).square().sum().backward()
    child(images).square().sum().backward()
    after = net.inherit(architecture)
    for a, b in zip(after.buffers(), child.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    for node, block in zip(net.nodes, child.blocks, strict=True):
        if isinstance(node, SuperKernel):
            for name, parameter in block.named_parameters():
                whole = dict(node.block.named_parameters())[name].grad
                torch.testing.assert_close(whole.abs().sum(), parameter.grad.abs().sum(), rtol=1e-4, atol=1e-5)


def test_skip_and_squeeze_off_are_exactly_the_identity():
    node = superkernel(decision(ratios=(0.0, 0.25))).train()
    set_choice(node, Skip(8, 8))
    assert torch.equal(node(image(), node.indicators()), image())
    plain = MBConv(8, 8, 5, 6)
    set_choice(node, plain)
    assert torch.equal(node(image(), node.indicators()), child_block(node, plain)(image()))


def test_batch_norm_hides_published_widths_and_skips_from_the_loss():
    """Scaling a channel before batch norm changes nothing: why our masks stand after it."""
    gradients = {}
    for mask in MASKS:
        torch.manual_seed(0)
        net = SuperKernelNet(get_space("tiny", width=0.5), mask=mask)
        indicators = net.indicators()
        for block in indicators:
            block.width.value.retain_grad()
            block.kernel.value.retain_grad()
        net(image(3, 32, 16), indicators).square().sum().backward()
        gradients[mask] = [block.width.value.grad.abs().item() for block in indicators]
        assert all(block.kernel.value.grad.abs().item() > 1e-5 for block in indicators)
    assert sum(gradients["kernel"]) < 1e-3 * sum(gradients["norm"])


def test_recalibration_changes_the_statistics_of_a_child_and_nothing_else():
    net, architecture = randomly_decided(get_space("tiny", resolution=16, width=0.25), 2)
    child = net.inherit(architecture)
    before = {name: p.clone() for name, p in child.named_parameters()}
    recalibrate_batch_norm(child, [(image(3, 16, 32), torch.zeros(32))] * 2)
    assert all(torch.equal(before[name], p) for name, p in child.named_parameters())
    whole = dict(net.named_buffers())["nodes.0.layers.1.running_mean"]
    assert not torch.equal(child.blocks[0].layers[1].running_mean, whole)


@pytest.mark.parametrize(
    ("candidates", "rule"),
    [
        ((MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 3), MBConv(8, 8, 5, 6)), "it lacks k3 e6"),
        ((MBConv(8, 8, 3, 6), MBConv(8, 8, 5, 3)), "it lacks k3 e3"),
        ((MBConv(8, 16, 3, 3, 2), Conv(8, 16, 3, 2)), "or one skip"),
        ((MBConv(8, 8, 3, 1), MBConv(8, 8, 3, 3)), "expansion 1"),
        ((MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 3, activation="silu")), "activation"),
        ((MBConv(8, 8, 3, 3, groups=2), MBConv(8, 8, 5, 3, groups=2)), "groups"),
        ((MBConv(8, 8, 3, 2, se_ratio=0.2), MBConv(8, 8, 3, 2, se_ratio=0.25)), "equally many"),
        ((Skip(8, 8),), "MBConv"),
    ],
)
def test_what_is_not_nested_is_refused_with_the_rule_it_breaks(candidates, rule):
    with pytest.raises(UsageError, match="does not fit into one superkernel") as caught:
        Nesting.of(OneOf("block 3", candidates))
    assert rule in str(caught.value)
    assert "block 3" in str(caught.value)


@pytest.mark.parametrize("name", ["fbnet", "shufflenet", "nas-bench-201"])
def test_spaces_that_are_not_nested_are_refused(name):
    with pytest.raises(UsageError, match="--method dsnas"):
        SuperKernelNet(get_space(name, resolution=32, width=0.25))
