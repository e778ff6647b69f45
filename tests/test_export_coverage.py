"""Everything a mobile CNN is made of, in every style people write it in, against PyTorch in every runtime."""

from __future__ import annotations

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from hwnas.exporter.export import convert
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.runtimes import RUNTIMES, available_runtimes, get_runtime
from tests.export_networks import Function, trained

torch.manual_seed(0)  # for the weights of the modules below

C, HEIGHT, WIDTH = 8, 9, 10
"""One size odd and one even: padding differs between them."""


def shuffled(x: Tensor, groups: int) -> Tensor:
    """As ShuffleNet's authors and torchvision write it."""
    batch, channels, height, width = x.size()
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(batch, -1, height, width)


def shuffled_by_permute(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).permute(0, 2, 1, 3, 4).flatten(1, 2)


def squeeze_excite_with_linear_layers(self: Function, x: Tensor) -> Tensor:
    batch, channels = x.shape[:2]
    gate = torch.sigmoid(self.linear(F.adaptive_avg_pool2d(x, 1).view(batch, channels)))
    return x * gate.view(batch, channels, 1, 1).expand_as(x)


def shuffle_unit(self: Function, x: Tensor) -> Tensor:
    kept, worked = x.chunk(2, dim=1)
    return shuffled(torch.cat((kept, self.branch(worked)), dim=1), 2).chunk(2, 1)[0]


def augmented(self: Function, x: Tensor) -> Tensor:
    x = self.conv(x)
    kept = x
    x *= 2
    x -= 1
    x /= 3
    x += x
    return kept


def halves_by_reshape(self: Function, x: Tensor) -> Tensor:
    """As ShuffleNetV2's authors shuffle and split at once (megvii-model/ShuffleNet-Series)."""
    batch, channels, height, width = x.size()
    x = x.reshape(batch * channels // 2, 2, height * width).permute(1, 0, 2)
    x = x.reshape(2, -1, channels // 2, height, width)
    return torch.cat((x[0], self.branch(x[1])), 1)


def asks_about_itself(self: Function, x: Tensor) -> Tensor:
    """Every branch that is not taken in PyTorch would be a wrong file."""
    weight = self.conv.weight
    x = x.to(weight.dtype).to(x.device).type_as(weight).to(weight).cpu().float()
    x = x.contiguous(memory_format=torch.channels_last).to(memory_format=torch.channels_last)
    if isinstance(x, Tensor) and torch.is_tensor(x) and x.is_floating_point() and x.device.type == "cpu":
        x = self.conv(x)
    if x.is_cuda or x.is_complex() or x.is_sparse or x.dtype != torch.float32 or x is None or x.grad is not None:
        x = x * 2
    return x * (x.element_size() * x.dim() * len(x.shape) / x.numel()) + x.get_device() + x.data


def stochastic_depth(x: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """As torchvision writes it."""
    return x * (torch.rand(1) < p) if training else x


CONVOLUTIONS = {
    "grouped": nn.Conv2d(C, 12, 3, padding=1, groups=4),
    "grouped, strided, batch norm": nn.Sequential(
        nn.Conv2d(C, 12, 3, 2, 1, groups=2, bias=False), nn.BatchNorm2d(12), nn.ReLU()
    ),
    "dilated": nn.Conv2d(C, 12, 3, padding=2, dilation=2),
    "dilated and strided": nn.Conv2d(C, 12, 3, padding=1, stride=2, dilation=2),
    "dilated depthwise": nn.Conv2d(C, C, 3, padding=2, dilation=2, groups=C),
    "depthwise, strided, two outputs per channel": nn.Conv2d(C, 2 * C, 5, padding=2, groups=C, stride=2),
    "same padding of an even kernel": nn.Conv2d(C, 4, 4, padding="same"),
    "same padding of a dilated kernel": nn.Conv2d(C, 4, (2, 3), padding="same", dilation=(3, 1)),
    "zeros on one side": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(C, 12, 3, 2)),
    "pad function": Function(lambda self, x: self.conv(F.pad(x, (1, 2, 0, 1))), conv=nn.Conv2d(C, 4, 3)),
    "functional": Function(
        lambda self, x: F.conv2d(x, self.weight, None, 2, 1), weight=nn.Parameter(torch.randn(4, C, 3, 3) / 8)
    ),
    "reflected": nn.Conv2d(C, 4, 3, padding=1, padding_mode="reflect"),
    "replicated": nn.Conv2d(C, 4, 3, padding=(1, 2), padding_mode="replicate"),
    "circular": nn.Conv2d(C, 4, 3, padding=1, padding_mode="circular"),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(C, 4, 3)),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Conv2d(C, 4, 3)),
    "constant padding": nn.ConstantPad2d((1, 0, 2, 1), 0.7),
    "zero padding alone": nn.ZeroPad2d(1),
}
POOLS = {
    "maximum, overlapping": nn.MaxPool2d(3, 2, 1),
    "maximum of what is not negative": nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "maximum": nn.MaxPool2d(2),
    "maximum, size rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "maximum of pairs, size rounded up": nn.MaxPool2d(2, 2, ceil_mode=True),
    "maximum, padding larger than SAME": nn.MaxPool2d(4, 3, 2),
    "maximum at every pixel": nn.MaxPool2d(3, 1, 1),
    "maximum, function": Function(lambda self, x: F.max_pool2d(x, 3, 2, padding=1)),
    "average at every pixel without its padding": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "average at every pixel": nn.AvgPool2d(3, 1, 1),
    "average, overlapping, without its padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, overlapping": nn.AvgPool2d(3, 2, 1),
    "average": nn.AvgPool2d(2),
    "average, size rounded up": nn.AvgPool2d(2, 2, ceil_mode=True),
    "average without its padding, size rounded up": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "average over all, function": Function(lambda self, x: F.avg_pool2d(x, x.size()[2:])),
    "adaptive to parts": nn.AdaptiveAvgPool2d((3, 5)),
    "adaptive on one axis": nn.AdaptiveMaxPool2d((None, 2)),
    "global maximum": nn.AdaptiveMaxPool2d(1),
    "global maximum, method": Function(lambda self, x: x.amax((2, 3))),
    "global average of flattened pixels": Function(lambda self, x: x.flatten(2).mean(-1)),
    "global average, one axis after the other": Function(lambda self, x: x.mean(3).mean(2)),
    "global average, the last axis twice": Function(lambda self, x: x.mean(-1).mean(-1)),
    "global average as a sum": Function(lambda self, x: x.sum((2, 3)) / (x.shape[2] * x.shape[3])),
    "global maximum, one axis after the other": Function(lambda self, x: x.max(3)[0].max(dim=2).values),
    "global average as two sums": Function(lambda self, x: x.sum(3).sum(2) / (HEIGHT * WIDTH)),
    "global average of one dimension": Function(lambda self, x: F.adaptive_avg_pool1d(x.flatten(2), 1).squeeze(-1)),
    "sum over the width": Function(lambda self, x: x.sum(3, keepdim=True)),
    "gate of each row and column": Function(lambda self, x: x * x.mean(3, keepdim=True) + x * x.amax(2, keepdim=True)),
    "maximum over the channels": Function(
        lambda self, x: torch.cat([x.max(1, keepdim=True)[0], x.amax((1,), True)], 1)
    ),
    "average over the channels": Function(lambda self, x: x * x.mean(1, keepdim=True)),
    "global average of viewed pixels": Function(lambda self, x: x.view(x.size(0), x.size(1), -1).mean(2)),
}
ARITHMETIC = {
    "numbers of numpy": Function(lambda self, x: x * np.float32(0.5) + np.float64(2) - np.int64(1) * True),
    "numbers": Function(lambda self, x: (1 - x) * 3 / 2 + 0.5 - x),
    "layer scale": Function(
        lambda self, x: x + self.scale * self.conv(x),
        conv=nn.Conv2d(C, C, 1),
        scale=nn.Parameter(torch.randn(C, 1, 1)),
    ),
    "a value for every pixel": Function(
        lambda self, x: F.relu(x * self.mask), mask=nn.Parameter(torch.randn(C, HEIGHT, WIDTH))
    ),
    "position embedding": Function(
        lambda self, x: self.place + x, place=nn.Parameter(torch.randn(1, C, HEIGHT, WIDTH))
    ),
    "subtraction": Function(lambda self, x: x - F.relu(x)),
    "subtraction from the mean": Function(lambda self, x: x.mean((2, 3), keepdim=True) - x),
    "squeeze-and-excitation with linear layers": Function(squeeze_excite_with_linear_layers, linear=nn.Linear(C, C)),
    "a gate for every pixel": Function(lambda self, x: x * torch.sigmoid(self.conv(x)), conv=nn.Conv2d(C, 1, 3, 1, 1)),
    "gate, unsqueezed": Function(lambda self, x: x * x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1)),
    "gate, expanded": Function(lambda self, x: x * x.mean((2, 3), keepdim=True).expand(-1, -1, HEIGHT, WIDTH)),
    "square": Function(lambda self, x: x**2 - x.square() / 2),
    "hard swish by hand": Function(lambda self, x: x * F.relu6(x + 3) / 6),
}
NORMS = {
    "first": nn.BatchNorm2d(C),
    "before a convolution": nn.Sequential(nn.BatchNorm2d(C), nn.Conv2d(C, 4, 1)),
    "before a padded convolution": nn.Sequential(nn.BatchNorm2d(C), nn.Conv2d(C, 4, 3, padding=1)),
    "before an activation": nn.Sequential(nn.BatchNorm2d(C), nn.ReLU(), nn.Conv2d(C, 4, 3, padding=1)),
    "before a grouped convolution": nn.Sequential(nn.BatchNorm2d(C), nn.Conv2d(C, 4, 3, groups=2)),
    "before a depthwise convolution": nn.Sequential(nn.BatchNorm2d(C), nn.Conv2d(C, C, 3, groups=C)),
    "twice": nn.Sequential(nn.BatchNorm2d(C), nn.BatchNorm2d(C), nn.ReLU6()),
    "after a linear layer": nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, 5), nn.BatchNorm1d(5), nn.ReLU()
    ),
    "before a linear layer": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(C), nn.Linear(C, 5)),
    "activation, convolution, norm": nn.Sequential(
        nn.ReLU(), nn.Conv2d(C, C, 3, padding=1, bias=False), nn.BatchNorm2d(C)
    ),
    "function": Function(
        lambda self, x: F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=self.training),
        norm=nn.BatchNorm2d(C),
    ),
}
SHAPES = {
    "shuffle in 2": Function(lambda self, x: shuffled(x, 2)),
    "shuffle by permute": Function(lambda self, x: shuffled_by_permute(x, 4)),
    "shuffled halves at once": Function(halves_by_reshape, branch=nn.Conv2d(4, 4, 3, padding=1)),
    "every other channel": Function(lambda self, x: x[:, ::2] + x[:, 1::2]),
    "shuffle layer": nn.ChannelShuffle(4),
    "shuffle unit": Function(
        shuffle_unit, branch=nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    ),
    "split and concatenate": Function(
        lambda self, x: torch.cat([F.relu(part) for part in reversed(torch.split(x, [2, 3, 3], dim=1))], dim=1)
    ),
    "slices of channels": Function(lambda self, x: x[:, 2:6] + x[:, 4:]),
    "narrow": Function(lambda self, x: x.narrow(1, 3, 2)),
    "slices of pixels": Function(lambda self, x: x[:, :, 1:, 1:-2]),
    "many concatenated": Function(lambda self, x: torch.cat([x, -x, x * 2, x + 1, F.relu(x), torch.sigmoid(x)], 1)),
    "flatten, linear": nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(C * 4 * 5, 7)),
    "view, linear": Function(lambda self, x: self.linear(x.view(x.size(0), -1)), linear=nn.Linear(720, 3)),
    "flatten, dropout, relu, linear": nn.Sequential(nn.Flatten(), nn.Dropout(), nn.ReLU(), nn.Linear(720, 4)),
    "flatten": nn.Flatten(),
    "back to an image": Function(
        lambda self, x: self.linear(x.flatten(1)).view(-1, 4, 3, 2), linear=nn.Linear(720, 24)
    ),
    "every other pixel": Function(lambda self, x: x[:, :, ::2, 1::2]),
    "flipped": Function(lambda self, x: x.flip(3) + torch.flip(x, [2, 3])),
    "channels in another order": Function(lambda self, x: x[:, [2, 0, 1, 1]]),
    "repeated": Function(lambda self, x: x.repeat(1, 2, 1, 1)),
    "asks the tensor about itself": Function(asks_about_itself, conv=nn.Conv2d(C, C, 1)),
    "shortcut of the first ResNet on CIFAR": Function(
        lambda self, x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3)) + self.conv(x), conv=nn.Conv2d(C, 13, 3, 2, 1)
    ),
    "filled": Function(lambda self, x: x * torch.full_like(x, 2) + x.new_ones(1) + torch.zeros_like(x)),
    "branch on the size": Function(lambda self, x: F.relu(x) if x.shape[2] > 4 else x),
}
RESIZES = {
    "nearest, twice as large": nn.Upsample(scale_factor=2),
    "nearest, three times as large": Function(lambda self, x: F.interpolate(x, scale_factor=3)),
    "nearest, to a size": Function(lambda self, x: F.interpolate(x, size=(13, 7))),
    "nearest, smaller": nn.Upsample(scale_factor=0.7),
    "nearest, to a size near to its own": Function(lambda self, x: F.interpolate(x, size=(HEIGHT + 2, WIDTH - 1))),
    "nearest, by the rounded factor": Function(
        lambda self, x: F.interpolate(x, scale_factor=1.7, recompute_scale_factor=True)
    ),
    "nearest, exact": Function(lambda self, x: F.interpolate(x, size=(13, 7), mode="nearest-exact")),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear, to a size": Function(lambda self, x: F.interpolate(x, size=(13, 7), mode="bilinear")),
    "bilinear, aligned corners": nn.UpsamplingBilinear2d(scale_factor=2),
    "bilinear, aligned corners, to a size": Function(
        lambda self, x: F.interpolate(x, size=(5, 21), mode="bilinear", align_corners=True)
    ),
    "bilinear, to one pixel": Function(lambda self, x: F.interpolate(x, size=(1, 1), mode="bilinear")),
    "pyramid": Function(
        lambda self, x: x + F.interpolate(self.pool(x), size=x.shape[2:], mode="bilinear"), pool=nn.MaxPool2d(2)
    ),
}
ACTIVATIONS = {
    f"{type(layer).__name__}{' after a convolution' * after}": nn.Sequential(nn.Conv2d(C, C, 3), layer)
    if after
    else nn.Sequential(layer)
    for layer in (
        nn.Hardswish(),
        nn.Hardsigmoid(),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.GELU(),
        nn.ReLU6(),
        nn.ELU(),
        nn.LeakyReLU(0.2),
        nn.PReLU(C, init=0.3),
    )
    for after in (False, True)
} | {
    "GELU by tanh": nn.GELU(approximate="tanh"),
    "PReLU of features": Function(lambda self, x: self.prelu(x.mean((2, 3))), prelu=nn.PReLU(C)),
    "clamp": Function(lambda self, x: x.clamp(0, 6)),
    "clamp between other limits": Function(
        lambda self, x: self.conv(x).clamp(min=-0.5, max=2), conv=nn.Conv2d(C, C, 1)
    ),
    "clamp from below": Function(lambda self, x: x.clamp(min=-0.5)),
    "clamp from above": Function(lambda self, x: x.clamp_max(0.5)),
    "hard sigmoid by hand": Function(
        lambda self, x: x * ((self.conv(x) + 3.0) / 6.0).clamp_(0.0, 1.0), conv=nn.Conv2d(C, C, 1)
    ),
    "hard tanh": nn.Sequential(nn.Conv2d(C, C, 1), nn.Hardtanh(inplace=True)),
    "softmax over channels": nn.Softmax(1),
    "softmax": Function(lambda self, x: x.mean((2, 3)).softmax(-1)),
    "log softmax": Function(lambda self, x: F.log_softmax(x.mean((2, 3)), dim=1)),
}
MEMORY = {
    "residual of what is changed in place": Function(lambda self, x: x + self.relu(x), relu=nn.ReLU(inplace=True)),
    "added in place": Function(
        lambda self, x: (lambda y: (y.add_(x), y * 2)[1])(self.conv(x)), conv=nn.Conv2d(C, C, 1)
    ),
    "changed before it is read again": Function(
        lambda self, x: (lambda y: (F.relu_(y), y + self.next(y))[1])(self.conv(x)),
        conv=nn.Conv2d(C, C, 1),
        next=nn.Conv2d(C, C, 1),
    ),
    "multiplied in place under another name": Function(augmented, conv=nn.Conv2d(C, C, 1)),
    "a copy is changed": Function(lambda self, x: x.clone().relu_() + x),
    "a list of channels is a copy": Function(lambda self, x: (lambda y, z: (F.relu_(y), z)[1])(x, x[:, [1, 0]])),
    "padding is a copy": Function(
        lambda self, x: (lambda y, z: (F.relu_(y), z)[1])(x, F.pad(x, (1, 1, 1, 1), mode="reflect"))
    ),
    "changed below its halves": Function(lambda self, x: (lambda a, b: (x.relu_(), a + b)[1])(*x.chunk(2, 1))),
    "a branch that is dropped in training": Function(
        lambda self, x: x + stochastic_depth(F.relu(x), 0.2, "row", self.training)
    ),
    "an unused result": Function(lambda self, x: (self.conv(x), F.relu(x))[1], conv=nn.Conv2d(C, C, 1)),
    "a layer called twice": (lambda layer: nn.Sequential(layer, nn.ReLU(), layer))(nn.Conv2d(C, C, 1)),
}
GROUPS = {
    "convolution": CONVOLUTIONS,
    "pool": POOLS,
    "arithmetic": ARITHMETIC,
    "norm": NORMS,
    "shape": SHAPES,
    "resize": RESIZES,
    "activation": ACTIVATIONS,
    "memory": MEMORY,
}
CASES = {f"{group}: {name}": module for group, cases in GROUPS.items() for name, module in cases.items()}

OUTSIDE_XNNPACK = {
    "convolution: constant padding": 0,
    "pool: maximum, padding larger than SAME": 1,
    "resize: nearest, three times as large": 0,
    "resize: nearest, to a size": 0,
    "resize: nearest, to a size near to its own": 0,
    "resize: nearest, smaller": 0,
    "resize: nearest, by the rounded factor": 0,
    "resize: nearest, exact": 0,
    "shape: every other pixel": 0,
    "shape: channels in another order": 0,
    "shape: repeated": 0,
    "memory: a list of channels is a copy": 0,
    "memory: padding is a copy": 0,
}
"""Partitions of what XNNPACK does not take whole: PADV2, RESIZE_NEAREST_NEIGHBOR and GATHER stay outside."""


def prepared(name: str) -> nn.Module:
    return trained(deepcopy(CASES[name]))


def image(batch: int) -> np.ndarray:
    """Values beyond all the limits of the activations."""
    return 3 * np.random.default_rng(1).standard_normal((batch, C, HEIGHT, WIDTH), dtype=np.float32)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_computes_what_pytorch_computes(name: str, batch: int) -> None:
    module, x = prepared(name), image(batch)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch copies for the same padding of an even kernel
        expected = module(torch.from_numpy(x.copy())).numpy()
    files = {suffix: convert(module, x.shape, suffix) for suffix in ("tflite", "onnx")}
    for runtime in RUNTIMES:
        if not available_runtimes()[runtime][0].isdigit():
            continue
        model = files[get_runtime(runtime).suffix[1:]]
        actual = get_runtime(runtime).load(model, threads=1).run(x)
        assert actual.shape == expected.shape, runtime
        assert relative_error(actual, expected) <= LIMIT, runtime


@pytest.mark.parametrize("name", CASES)
def test_stays_in_one_partition(name: str) -> None:
    interpreter = Interpreter(model_content=convert(prepared(name), image(1).shape, "tflite"), num_threads=1)
    interpreter.allocate_tensors()
    operators = [details["op_name"] for details in interpreter._get_ops_details()]
    assert operators.count("DELEGATE") == OUTSIDE_XNNPACK.get(name, 1), operators
