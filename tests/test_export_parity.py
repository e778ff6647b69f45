"""What is written computes what PyTorch computes, in every runtime; and the check that says so can fail."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import HwnasError
from hwnas.exporter import parity
from hwnas.exporter.export import convert, export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.parity import LIMIT, Parity, check_parity, exact_limit, relative_error
from hwnas.exporter.pixel_input import FromPixels
from hwnas.exporter.tflite import windows as tflite_windows
from hwnas.preprocessing import Preprocessing
from hwnas.runtimes import RUNTIMES, available_runtimes, get_runtime
from tests.export_networks import Chain, InvertedResidual, MobileNetV2, trained


@pytest.fixture(autouse=True)
def repeatable() -> None:
    torch.manual_seed(0)


def usable(runtime: str) -> pytest.MarkDecorator | tuple:
    reason = available_runtimes()[runtime]
    return pytest.mark.skipif(not reason[0].isdigit(), reason=reason)


EVERY_RUNTIME = [pytest.param(name, marks=usable(name)) for name in RUNTIMES]


def error_in(runtime: str, module: nn.Module, shape: tuple[int, ...]) -> float:
    """Relative error of the exported module on one random input."""
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x.copy())).numpy()
    model = convert(module, shape, get_runtime(runtime).suffix[1:])
    actual = get_runtime(runtime).load(model, threads=1).run(x)
    assert actual.shape == expected.shape
    return relative_error(actual, expected)


class Residual(nn.Module):
    """``relu(x + layer(x))``: an addition with an activation to fuse."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.relu = layer, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.layer(x))


OPERATORS = {
    "conv": nn.Conv2d(6, 10, 3, padding=1),
    "conv without bias": nn.Conv2d(6, 10, 3, bias=False),
    "conv with unequal strides and paddings": nn.Conv2d(6, 10, (3, 5), (2, 1), (0, 2)),
    "conv with more padding than its kernel needs": nn.Conv2d(6, 10, 3, padding=3),
    "conv of one channel": nn.Sequential(nn.Conv2d(6, 1, 1), nn.Conv2d(1, 4, 3, padding=1)),
    "depthwise": nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "depthwise with two outputs per channel": nn.Conv2d(6, 12, 3, padding=1, groups=6),
    "conv, batch norm": nn.Sequential(nn.Conv2d(6, 10, 3), nn.BatchNorm2d(10)),
    "conv, batch norm without parameters": nn.Sequential(nn.Conv2d(6, 10, 3), nn.BatchNorm2d(10, affine=False)),
    "depthwise, batch norm, relu": nn.Sequential(nn.Conv2d(6, 6, 5, 2, 2, groups=6), nn.BatchNorm2d(6), nn.ReLU()),
    "conv, relu6": nn.Sequential(nn.Conv2d(6, 10, 1), nn.ReLU6()),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "relu twice": nn.Sequential(nn.Conv2d(6, 10, 1), nn.ReLU(), nn.ReLU6()),
    "add, relu": Residual(nn.Conv2d(6, 6, 1)),
    "add of itself": Residual(nn.Identity()),
    "global average pool": nn.AdaptiveAvgPool2d(1),
    "pool, flatten, linear": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    "linear without bias, relu": nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5, bias=False), nn.ReLU()
    ),
}


@pytest.mark.parametrize("runtime", EVERY_RUNTIME)
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_operator(runtime: str, name: str, batch: int) -> None:
    network = trained(deepcopy(OPERATORS[name]))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.mul_(4)  # so that some values reach beyond 6, for ReLU6 to cut
    assert error_in(runtime, network, (batch, 6, 9, 8)) <= LIMIT


@pytest.mark.parametrize("runtime", EVERY_RUNTIME)
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 11), (14, 7)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_mbconv_at_odd_and_even_resolutions(runtime: str, kernel: int, stride: int, size: tuple[int, int]) -> None:
    block = trained(InvertedResidual(8, 8, stride, expand=3, kernel=kernel))
    assert error_in(runtime, block, (1, 8, *size)) <= LIMIT


@pytest.mark.parametrize("format", FORMATS)
def test_mobilenet_v2_and_each_of_its_blocks(format: str) -> None:
    network, shape = trained(MobileNetV2()), (1, 3, 64, 64)
    assert 0 < check_parity(network, shape, get_format(format), convert(network, shape, format)) <= LIMIT


def test_the_check_refuses_a_file_with_one_other_weight() -> None:
    network, shape = trained(InvertedResidual(4, 8, 1, 2)), (1, 4, 8, 8)
    model = convert(network, shape, "tflite")
    check_parity(network, shape, get_format("tflite"), model)
    weight = network.layers[6].weight.detach()
    weight[0, 0] += 1e-3 * weight.abs().max()
    with pytest.raises(HwnasError, match=r"InvertedResidual computes something else as \.tflite.*the limit 1e-05"):
        check_parity(network, shape, get_format("tflite"), model)


def test_wrong_padding_is_caught_and_the_block_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap of TFLite: SAME has the right shape everywhere, and the wrong picture at stride 2 on even sizes."""
    network = trained(Chain(InvertedResidual(4, 4, 1, 2), InvertedResidual(4, 8, 2, 2, kernel=5)))
    monkeypatch.setattr(tflite_windows, "pads_like_same", lambda *_: True)
    with pytest.raises(HwnasError, match=r"block blocks\.1 \(InvertedResidual\)"):
        export(network, tmp_path / "model", input_shape=(1, 4, 16, 16))
    assert not (tmp_path / "model").exists(), "something was written although the check failed"


def test_an_identity_among_the_blocks_is_passed_over() -> None:
    network = Chain(nn.Identity(), nn.Conv2d(4, 4, 1))
    model = get_format("onnx").write(lower(network, (1, 4, 8, 8)))
    assert check_parity(network, (1, 4, 8, 8), get_format("onnx"), model) <= LIMIT


class Scaled(nn.Module):
    """A block that is told more than its input, by position or name, and may give more than its output."""

    def __init__(self, pair: bool = False) -> None:
        super().__init__()
        self.conv, self.pair = nn.Conv2d(4, 4, 3, padding=1), pair

    def forward(self, x: Tensor, scale: float = 1.0, *, skip: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        y = self.conv(x) * scale + (x if skip is None else skip)
        return (y, x) if self.pair else y


class Calls(nn.Module):
    """Calls its blocks in every way that people do."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        one, two, three, four, _never = self.blocks.children()
        y = one(x, 0.5)
        y = two(x=y, scale=2.0)
        y = one(three(y, skip=x), 0.5)
        return four(y)[0] + y


def members() -> list[nn.Module]:
    return [Scaled(), Scaled(), Scaled(), Scaled(pair=True), nn.Conv2d(5, 5, 1)]


@pytest.mark.parametrize(
    "blocks",
    [
        lambda: nn.ModuleList(members()),
        lambda: nn.Sequential(*members()),
        lambda: nn.ModuleDict({f"b{number}": member for number, member in enumerate(members())}),
    ],
)
def test_blocks_are_checked_as_the_network_calls_them(tmp_path, blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Calls(blocks()).eval()
    checked: list[str] = []
    check = parity._check
    monkeypatch.setattr(parity, "_check", lambda *args: (checked.append(args[-1]), check(*args))[1])
    models = export(network, tmp_path, formats=["onnx"], input_shape=(1, 4, 8, 8))
    assert models[0].max_relative_error <= LIMIT
    first, second = [f"block blocks.{name} (Scaled)" for name, _ in list(network.blocks.named_children())[:2]]
    assert checked == [first, second, "the Calls"]


class Alternates(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.relu(x) * (-1) ** self.calls


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) + torch.randn(1)


@pytest.mark.parametrize("network", [Alternates(), Draws()])
def test_a_network_that_gives_two_outputs_for_one_image_is_refused(tmp_path, network: nn.Module) -> None:
    with pytest.raises(HwnasError, match="PyTorch gives two outputs for one image"):
        export(network, tmp_path, input_shape=(1, 4, 8, 8))


def test_weights_that_are_not_numbers_are_refused() -> None:
    layer = nn.Conv2d(2, 2, 1)
    layer.weight.data[0] = float("nan")
    model = convert(layer, (1, 2, 4, 4), "tflite")
    with pytest.raises(HwnasError, match=r"error .* is nan.*weights are finite"):
        check_parity(layer, (1, 2, 4, 4), get_format("tflite"), model)


def test_relative_error_by_hand() -> None:
    expected = np.array([1.0, -4.0])
    assert relative_error(np.array([1.0, -4.0]), expected) == 0
    assert relative_error(np.array([1.5, -4.0]), expected) == 0.125
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.ones(2), np.zeros(2)) == float("inf")


def test_a_network_that_magnifies_rounding_is_held_to_what_pytorch_itself_is_worth() -> None:
    class Magnifies(nn.Module):
        """The difference of two nearly equal sums: PyTorch's float32 is off by thousands of its roundings."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = (nn.Conv2d(16, 8, 3, bias=False) for _ in range(2))
            with torch.no_grad():
                self.second.weight.copy_(self.first.weight * 1.0002)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x) - self.second(x)

    module, shape = Magnifies().eval(), (1, 16, 8, 8)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    assert exact_limit(module, x) > 10 * LIMIT
    assert next(module.parameters()).dtype == torch.float32
    for format in map(get_format, FORMATS):
        error = check_parity(module, shape, format, format.write(lower(module, shape)))
        assert LIMIT < error <= exact_limit(module, x)
    assert exact_limit(nn.Conv2d(16, 8, 3).eval(), x) == LIMIT


def test_a_network_of_pixels_is_given_what_its_own_rounding_takes():
    """Weights of 1000 that cancel out: float32 is off by more than the usual limit, whoever normalises the pixels."""
    torch.manual_seed(0)
    seen = Preprocessing((0.5,) * 3, (0.25,) * 3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ).eval()
    with torch.no_grad():
        network[0].bias.fill_(1000.0)
        network[4].weight.sub_(network[4].weight.mean(1, keepdim=True))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.float32)
    normalised = ((pixels / 255 - 0.5) / 0.25).astype(np.float32)
    alone, with_pixels = exact_limit(network, normalised), exact_limit(FromPixels(network, seen), pixels)
    assert alone > 2 * LIMIT and with_pixels == pytest.approx(alone, rel=0.9)


def test_an_error_that_is_no_number_is_the_worst():
    assert math.isnan(Parity(1e-7, math.nan, 90.0, 2e-7).worst)
    assert Parity(1e-7, 3e-7, 90.0, None).worst == 3e-7
