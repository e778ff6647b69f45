"""Random architectures of every registered space, and random networks, compute in the file what PyTorch computes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hwnas.child import build_child
from hwnas.exporter.export import convert
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.runtimes import get_runtime
from hwnas.spaces import SPACES, get_space
from tests.export_networks import trained
from tests.weekly import weekly_except

RUNTIME_OF = {"tflite": "litert", "onnx": "onnxruntime"}


def check(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x.copy())).numpy()
    for format, runtime in RUNTIME_OF.items():
        actual = get_runtime(runtime).load(convert(module, shape, format), threads=1).run(x)
        assert actual.shape == expected.shape
        assert relative_error(actual, expected) <= LIMIT


@pytest.mark.parametrize(
    ("name", "seed"),
    weekly_except(
        [(name, 0) for name in SPACES if name != "darts"], [(name, seed) for name in SPACES for seed in (0, 1)]
    ),
)
def test_random_architectures_of_every_space(name: str, seed: int) -> None:
    torch.manual_seed(0)
    architecture = get_space(name, resolution=32, num_classes=10).sample(random.Random(seed))
    check(trained(build_child(architecture)), (1, *architecture.input_shape))


@pytest.mark.parametrize("name", SPACES)
def test_macs_of_the_graph_are_those_of_the_specs(name: str) -> None:
    space = get_space(name, resolution=32, num_classes=10)
    architecture = space.sample(random.Random(1))
    graph = lower(build_child(architecture).eval(), (1, *architecture.input_shape))
    assert graph.macs == architecture.macs


class Layer(nn.Module):
    """One step of a random network: what it does to (N, C, H, W) is drawn by name."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.name = name
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.part = nn.Conv2d(channels // 2, channels // 2, 3, padding="same")
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return STEPS[self.name](self, x)


STEPS = {
    "grouped": lambda self, x: self.norm(self.conv(x)),
    "depthwise": lambda self, x: F.relu6(self.norm(self.depthwise(x))),
    "norm first": lambda self, x: self.pointwise(F.relu(self.norm(x))),
    "norm": lambda self, x: self.norm(x),
    "residual": lambda self, x: x + F.relu(self.conv(x), inplace=True),
    "overwriting": lambda self, x: F.relu(x, inplace=True) + self.pointwise(x),
    "gate": lambda self, x: x * F.hardsigmoid(self.pointwise(x.mean((2, 3), keepdim=True))),
    "swish": lambda self, x: F.hardswish(x),
    "silu": lambda self, x: F.silu(self.pointwise(x)),
    "shuffle": lambda self, x: F.channel_shuffle(x, 2),
    "split": lambda self, x: torch.cat((self.part(x.chunk(2, 1)[0]), x.chunk(2, 1)[1]), 1),
    "average": lambda self, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "maximum": lambda self, x: F.max_pool2d(x, 3, 2, 1),
    "strided": lambda self, x: F.conv2d(x, self.conv.weight, self.conv.bias, 2, 1, 1, 2),
    "numbers": lambda self, x: 1 - x / 2,
    "branches": lambda self, x: self.conv(x) - self.depthwise(x) * 0.5,
}


@settings(max_examples=25, derandomize=True)
@given(
    st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=7),
    st.sampled_from([4, 6]),
    st.integers(5, 12),
    st.integers(5, 12),
    st.integers(1, 2),
)
def test_random_networks(names: list[str], channels: int, height: int, width: int, batch: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, channels, 1), *(Layer(name, channels) for name in names))
    check(trained(network), (batch, 3, height, width))
