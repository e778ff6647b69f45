"""Scores of networks with random weights, which cost a batch instead of a training: naswot, synflow and grad norm.

They order networks better than chance and often no better than their multiply-accumulates do: compare both before one
is trusted. Each is of one network, its weights and a batch of images; the larger, the more promising.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.space import Architecture
from hwnas.train.loop import seeded

Score = Callable[[nn.Module, Tensor, Tensor], float]
"""(network, images (N, C, H, W), labels (N)) -> its score."""

RECTIFIERS = ("relu", "relu_", "relu6", "hardtanh", "hardswish")
"""Names of torch's functions that tell negative inputs from positive ones; the module ReLU6 calls hardtanh."""


class _Switches(TorchFunctionMode):
    """Adds up, over all rectifiers that are called, for how many units each two images are on the same side of zero."""

    kernel: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in RECTIFIERS:
            self._add(args[0].detach().flatten(1) > 0)
        return func(*args, **(kwargs or {}))

    def _add(self, positive: Tensor) -> None:
        on = positive.float()
        both, counts = (on @ on.T).double(), on.sum(1).double()  # whole numbers, exact in float32 up to 2^24 units
        agree = on.shape[1] - counts[:, None] - counts[None, :] + 2 * both
        self.kernel = agree if self.kernel is None else self.kernel + agree


def naswot(net: nn.Module, images: Tensor, _labels: Tensor) -> float:
    """How differently the images switch the rectifiers: the logarithm of the determinant of the kernel of all of them.

    Mellor et al., arXiv 2006.04647, equations 1 and 2; BayesWatch/nas-without-training, `score_networks.py`. Minus
    infinity where two images switch all of them alike, and of a network that has none.
    """
    with torch.no_grad(), _Switches() as switches:
        net(images)
    return -math.inf if switches.kernel is None else float(torch.linalg.slogdet(switches.kernel).logabsdet)


def synflow(net: nn.Module, images: Tensor, _labels: Tensor) -> float:
    """The logarithm of the sum over the weights of |weight x gradient|, where all weights are made positive, batch
    norms do nothing, and the image is one of ones (Tanaka et al., arXiv 2006.05467, equation 2; as a score of networks
    Abdelfattah et al., arXiv 2101.08134)."""
    net = copy.deepcopy(net).double().eval()
    for parameter in net.parameters():
        parameter.data.abs_()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _norm, given, _out: given[0])
    net(torch.ones_like(images[:1], dtype=torch.double)).sum().backward()
    flow = sum(float((each * each.grad).detach().abs().sum()) for each in _weights(net) if each.grad is not None)
    return math.log(flow) if flow > 0 else -math.inf  # no path leads through a network of zeros


def grad_norm(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The sum over the layers of the Euclidean norm of the gradient of their weights, after one batch (Abdelfattah et
    al., arXiv 2101.08134, section 3.1)."""
    gradients = torch.autograd.grad(F.cross_entropy(net(images), labels), list(_weights(net)), allow_unused=True)
    return float(sum(gradient.norm() for gradient in gradients if gradient is not None))


SCORES: dict[str, Score] = {"naswot": naswot, "synflow": synflow, "grad-norm": grad_norm}


def scored(architecture: Architecture, score: Score, images: Tensor, labels: Tensor, seed: int = 0) -> float:
    """The score of a network with the random weights of a seed, in training mode: batch norms see the images alone."""
    with seeded(seed):
        net = ChildNetwork(architecture).train()
        return score(net, images, labels)


def scorer(name: str, images: Tensor, labels: Tensor, seed: int = 0) -> Callable[[Architecture], float]:
    """Scores architectures by the score of a name, on one batch. Raises UsageError for an unknown name."""
    if name not in SCORES:
        raise UsageError(f"there is no score {name!r}; known: {', '.join(SCORES)}.")
    return partial(scored, score=SCORES[name], images=images, labels=labels, seed=seed)


def _weights(net: nn.Module) -> Iterator[nn.Parameter]:
    """Of convolutions and linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert isinstance(module.weight, nn.Parameter)
            yield module.weight
