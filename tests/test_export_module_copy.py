"""The private copy that is exported: it computes what the module does, and the module is left exactly as it was."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import HwnasError
from hwnas.exporter.export import convert, export
from hwnas.exporter.graph.module_copy import module_copy
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.runtimes import get_runtime
from tests.export_networks import Function

SHAPE = (1, 3, 8, 8)
IMAGE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


class Keeps(nn.Module):
    """Keeps what it computes where people keep it, and things that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last: Tensor | None = None
        self.maps: list[Tensor] = []
        self.by_name: dict[str, Tensor] = {}
        self.state = SimpleNamespace(last=None)
        self.lock, self.own = threading.Lock(), Own()
        self.steps = iter(range(1000))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.conv.register_forward_hook(self.keep)

    def keep(self, _layer: nn.Module, _args: Any, result: Tensor) -> None:
        self.by_name["hooked"] = result

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.calls += 1
            self.last = F.relu(self.conv(x))
            self.maps.append(self.last)
            self.state.last = self.own.last = self.last
            return self.last * 2


class Own:
    """An object of a class of the user's, which cannot be copied as a whole."""

    def __init__(self) -> None:
        self.lock, self.last = threading.Lock(), None


class CopiesAsItself(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> CopiesAsItself:
        return self


class Doubles(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def old(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return nn.Sequential(norm(nn.Conv2d(3, 4, 3)), nn.ReLU())


def lazy() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        network = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d())
    network(IMAGE)
    return network


def hooked() -> nn.Module:
    """Hooks that change what goes in and what comes out."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    network.register_forward_pre_hook(lambda _module, args: (args[0] + 1,))
    network.register_forward_hook(lambda _module, _args, result: result * 3)
    network[0].register_forward_hook(lambda _module, _args, result: result - 0.1)
    return network


def kept() -> nn.Module:
    network = Keeps()
    network(IMAGE).sum().backward()
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "weight norm by a hook": lambda: old(nn.utils.weight_norm),
    "spectral norm by a hook": lambda: old(nn.utils.spectral_norm),
    "lazy layers that saw an image": lazy,
    "hooks": hooked,
    "kept feature maps, locks and an iterator": kept,
    "copies as itself": lambda: CopiesAsItself(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
    "shared layers": lambda: (lambda layer: nn.Sequential(layer, nn.ReLU(), layer))(nn.Conv2d(3, 3, 1)),
    "a module that nobody registered": lambda: Function(lambda self, x: self.hidden[0](x), hidden=[nn.Conv2d(3, 4, 1)]),
    "DataParallel": lambda: nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())),
    "DataParallel inside": lambda: nn.Sequential(nn.DataParallel(nn.Conv2d(3, 4, 3)), nn.ReLU()),
    "compiled": lambda: torch.compile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())),
    "compiled in place": lambda: compiled_in_place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())),
    "traced by fx": lambda: torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))),
    "exponential average": lambda: torch.optim.swa_utils.AveragedModel(nn.Conv2d(3, 4, 3)),
    "layer of float16": lambda: nn.Sequential(Doubles(), nn.Conv2d(3, 4, 3).half()),
}


def compiled_in_place(module: nn.Module) -> nn.Module:
    module.compile()
    return module


def uncompiled(module: nn.Module) -> nn.Module:
    """The module without a compiler, to compute what is expected."""
    module._compiled_call_impl = None
    return getattr(module, "_orig_mod", module)


def state(module: nn.Module) -> list[Any]:
    """All that a module holds: objects by identity, tensors by identity, version and numbers."""
    found: list[Any] = []

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            found.append(
                (
                    id(value),
                    value._version,
                    value.detach().clone(),
                    value.requires_grad,
                    value.grad if value.is_leaf else 0,
                )
            )
        elif isinstance(value, (list, tuple)):
            found.append(len(value))
            [visit(one) for one in value]
        elif isinstance(value, dict):
            found.extend(value)
            [visit(one) for one in value.values()]
        elif isinstance(value, (SimpleNamespace, Own)):
            visit(vars(value))
        else:
            found.append(value)

    for layer in module.modules():
        visit(vars(layer))
    return found


def same(first: Any, second: Any) -> bool:
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    return first is second or first == second


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_the_module_does_and_leaves_it_alone(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().train()
    before = state(module)
    copied = module_copy(module)
    with torch.no_grad():
        copied(IMAGE)
    files = {format: convert(module, SHAPE, format) for format in ("tflite", "onnx")}
    after = state(module)
    assert len(before) == len(after)
    assert all(map(same, before, after))
    with torch.no_grad():
        expected = uncompiled(module).float().eval()(IMAGE).numpy()
    assert relative_error(copied(IMAGE).detach().numpy(), expected) <= LIMIT
    for format, runtime in (("tflite", "litert"), ("onnx", "onnxruntime")):
        actual = get_runtime(runtime).load(files[format], threads=1).run(IMAGE.numpy())
        assert relative_error(actual, expected) <= LIMIT


def test_a_whole_export_leaves_a_network_that_keeps_what_it_computes_alone(tmp_path) -> None:
    module = kept()
    before = state(module)
    export(module, tmp_path, input_shape=SHAPE)
    assert all(map(same, before, state(module)))


def test_layers_keep_their_paths_within_a_wrapper() -> None:
    module = nn.DataParallel(nn.Sequential(OrderedDict(first=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 4, 1))))
    assert dict(module_copy(module).named_modules()).keys() == dict(module.named_modules()).keys()


def test_a_network_that_fails_in_pytorch_is_refused_in_its_words(tmp_path) -> None:
    """Views are lowered whether or not PyTorch would have to copy for them."""

    def shuffle_without_contiguous(self: Function, x: Tensor) -> Tensor:
        return x.view(1, 2, 2, 8, 8).transpose(1, 2).view(1, 4, 8, 8)

    with pytest.raises(HwnasError, match=r"PyTorch itself fails on an input of shape \(1, 4, 8, 8\): view size is not"):
        export(Function(shuffle_without_contiguous), tmp_path, input_shape=(1, 4, 8, 8))


def test_a_copy_has_memory_of_its_own() -> None:
    module = nn.BatchNorm2d(3)
    copied = module_copy(module)
    own = {tensor.data_ptr() for tensor in module.state_dict().values()}
    assert own.isdisjoint(tensor.data_ptr() for tensor in copied.state_dict().values())
    assert not copied.training
    assert deepcopy(module.state_dict()).keys() == copied.state_dict().keys()
    assert np.isfinite(copied(IMAGE).detach().numpy()).all()
