"""Layers of the blocks: what hwnas has of its own beside torch's."""

import pytest
import torch
from torch import nn

from hwnas.blocks.layers import StridedPointwiseConv2d, conv_bn


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("training", [True, False])
def test_a_strided_1x1_convolution_gives_torchs_values_and_gradients(channels, training):
    ours, theirs = conv_bn(channels, 5, 1, stride=2)[0], nn.Conv2d(channels, 5, 1, stride=2, bias=False)
    assert isinstance(ours, StridedPointwiseConv2d)
    ours.train(training)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(4, channels, 9, 8)
    for layer in (ours, theirs):
        torch.square(layer(images)).sum().backward()
    assert torch.allclose(ours(images), theirs(images), atol=1e-6)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-5)


def test_few_channels_last_are_trained_without_writing_beyond_memory():
    """On CPUs with AVX2 alone torch's own layer ends the process here."""
    layer = conv_bn(3, 8, 1, stride=2)[0]
    for _ in range(100):
        images = torch.randn(16, 3, 16, 16).to(memory_format=torch.channels_last)
        torch.square(layer(images)).sum().backward()
    assert torch.isfinite(layer.weight.grad).all()
