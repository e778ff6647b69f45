"""The SuperKernel: all candidates of a block in the weights of the largest one (Single-Path NAS, arXiv 1904.02877).

Smaller kernels are the centre of the largest, smaller widths its first channels. Whether a ring of the kernel, a group
of channels, the squeeze-and-excitation or the block itself is used is an indicator: the size of the weights concerned
against a learnt threshold. A search step thus costs what one largest block costs, not the sum of the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from hwnas.blocks import build_block
from hwnas.blocks.convolutions import MBConvBlock
from hwnas.blocks.layers import SqueezeExcite
from hwnas.space import OneOf
from hwnas.specs.spec import Spec
from hwnas.supernet.choice import Choice
from hwnas.supernet.indicator import Indicator
from hwnas.supernet.nesting import Nesting

Size = Literal["rms", "l2"]
"""How the size of a group of weights is measured: root mean square (ours), or the plain norm as published."""

Mask = Literal["norm", "kernel"]
"""Where widths and skip are masked: after batch norm (ours), or in the depthwise kernel as published."""

SIZES, MASKS = ("rms", "l2"), ("norm", "kernel")
SMALLEST_SQUARE = 1e-30
"""Keeps the gradient of the square root finite for weights that are all zero."""


@dataclass(frozen=True)
class BlockIndicators:
    """The indicators of one superkernel: which kernel, width and squeeze, and whether the block is kept at all."""

    kernel: Indicator
    width: Indicator
    squeeze: Indicator
    keep: Indicator

    @property
    def kept(self) -> Tensor:
        """Scalar: whether the block is kept; 1 where it cannot be dropped."""
        return self.keep.value[0] if len(self.keep.value) else self.keep.value.new_ones(())


class SuperKernel(Choice):
    """The block of a nested decision: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    Args:
        one_of: the decision. Raises UsageError if its candidates are not nested.
        size: how weights are compared with thresholds.
        mask: where the channels that are off are masked.

    Attributes:
        block: the largest candidate; its weights are those of all.
        skip: what stands there when the block is dropped, if that has weights of its own; None: the identity.
        kernel_thresholds, width_thresholds, squeeze_thresholds, keep_threshold: one per indicator; they start at 0, so
            that everything is on (t5x5, t100c and t50c of the paper, and squeeze-and-excitation's). Where kernel and
            width are tied, kernel_thresholds decide both.
    """

    def __init__(self, one_of: OneOf, size: Size = "rms", mask: Mask = "norm") -> None:
        super().__init__()
        self.one_of = one_of
        self.nesting, self.size, self.mask = Nesting.of(one_of), size, mask
        nesting = self.nesting
        self.block = MBConvBlock(nesting.largest)
        self.skip = build_block(nesting.skip) if nesting.skip is not None and not nesting.skip.is_identity else None
        self.kernel_thresholds = nn.Parameter(torch.zeros(len(nesting.kernels) - 1))
        self.width_thresholds = nn.Parameter(torch.zeros(0 if nesting.tied else len(nesting.expansions) - 1))
        self.squeeze_thresholds = nn.Parameter(torch.zeros(len(nesting.ratios) - 1))
        self.keep_threshold = nn.Parameter(torch.zeros(0 if nesting.skip is None else 1))
        # constants, which follow the module to its device and are no part of its state
        for name, constant in _constants(nesting).items():
            self.register_buffer(name, constant, persistent=False)
        self._candidates: dict[int, nn.Module] = {}

    rings: Tensor
    """(kernels, K, K): 1 where a kernel size has what the next smaller lacks."""
    groups: Tensor
    """(widths, channels): 1 where a width has what the next smaller lacks."""
    weights_in_group: Tensor
    """(widths, kernels): how many weights of the depthwise kernel a group has in a ring."""
    squeezed: Tensor
    """(widths, ratios, squeezed channels): 1 for the channels that a candidate squeezes to."""
    order: Tensor
    """(candidates,): see `Nesting`."""

    def indicators(self, keep: float = 1.0, generator: torch.Generator | None = None) -> BlockIndicators:
        """All indicators, from the weights and thresholds as they are; with dropout that keeps a share `keep`.

        Widths, and the block as a whole, are measured on what the kernel's indicators leave of the weights (published).
        """
        depthwise, _, _ = self._depthwise()
        squares = self.groups @ (depthwise.weight.flatten(1).square() @ self.rings.flatten(1).T)
        ring_sizes = self._size(squares.sum(0), self.weights_in_group.sum(0))
        if self.nesting.tied:
            ring_sizes = self._size(self._per_step(squares), self._per_step(self.weights_in_group))
        kernel = Indicator.of(ring_sizes[1:] - self.kernel_thresholds, keep, generator)
        gates = kernel.gates()
        used = self.weights_in_group @ (gates.detach() > 0).to(gates)
        group_sizes = self._size(squares @ gates.square(), used)
        tied = self.nesting.tied
        width = kernel if tied else Indicator.of(group_sizes[1:] - self.width_thresholds, keep, generator)
        whole = Indicator.of(group_sizes[: len(self.keep_threshold)] - self.keep_threshold, keep, generator)
        squeeze = Indicator.of(self._squeeze_sizes() - self.squeeze_thresholds, keep, generator)
        return BlockIndicators(kernel, width, squeeze, whole)

    def _per_step(self, squares: Tensor) -> Tensor:
        """(kernels,): of a (widths, kernels) table, what each tied kernel and width has more than the one before."""
        covered = torch.stack([squares[:count, :count].sum() for count in range(1, len(squares) + 1)])
        return covered.diff(prepend=covered.new_zeros(1))

    def _squeeze_sizes(self) -> Tensor:
        """(ratios - 1,): the sizes of the rows of the squeezing convolution that each ratio has more than the last."""
        if len(self.nesting.ratios) == 1:
            return self.squeeze_thresholds.new_empty(0)
        assert isinstance(self.block.squeeze_excite, SqueezeExcite)
        weight = self.block.squeeze_excite.reduce.weight.flatten(1)
        rows = self.squeezed[-1].diff(dim=0)
        sizes = self._size(rows @ weight.square().sum(1), rows.sum(1) * weight.shape[1])
        return sizes * self._squeeze_scale() if self.size == "rms" else sizes

    def _squeeze_scale(self) -> float:
        """What makes the weights of the squeezing convolution as large, at the start, as those of the depthwise one.

        They begin as uniform(+-1 / sqrt(channels)), torch's way, and as N(0, 2 / kernel^2). Unscaled, the squeeze would
        lie nearer to its threshold the more channels there are, and decoding, which compares slacks, would give it up
        first, whatever it is worth (our choice; the paper's rule is not public).
        """
        assert isinstance(self.block.squeeze_excite, SqueezeExcite)
        depthwise, _, _ = self._depthwise()
        squeezing = self.block.squeeze_excite.reduce.weight[0].numel()
        return math.sqrt(2 / depthwise.weight[0].numel()) * math.sqrt(3 * squeezing)

    def _size(self, squares: Tensor, count: Tensor) -> Tensor:
        squares = squares.clamp_min(SMALLEST_SQUARE)
        return squares.sqrt() if self.size == "l2" else (squares / count).sqrt()

    def forward(self, x: Tensor, indicators: BlockIndicators) -> Tensor:
        """The block with what is off masked: one convolution each, whatever the number of candidates."""
        in_kernel = self.mask == "kernel"
        depthwise, norm, activation = self._depthwise()
        channels, kept = self.groups.T @ indicators.width.gates(), indicators.kept
        rings = indicators.kernel.gates() @ self.rings.flatten(1)
        weight = depthwise.weight * rings.view(self.rings.shape[1:])
        if in_kernel:
            weight = weight * (channels * kept).view(-1, 1, 1, 1)
        hidden = x if self.block.expand is None else self.block.expand(x)
        hidden = functional_call(depthwise, {"weight": weight}, (hidden,))
        hidden = activation(norm(hidden) if in_kernel else _gated(norm, channels, hidden))
        if self.block.squeeze_excite is not None:
            hidden = self._squeeze_excite(hidden, indicators)
        if in_kernel or self.nesting.skip is None:
            out = self.block.project(hidden)
        else:
            out = _gated(self.block.project[1], kept, self.block.project[0](hidden))
        if self.skip is not None:
            out = out + (1 - kept).clamp_min(0) * self.skip(x)  # dropout makes kept more than 1
        output: Tensor = x + out if self.block.has_residual else out
        return output

    def _depthwise(self) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.Module]:
        convolution, norm, activation = self.block.depthwise
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        return convolution, norm, activation

    def _squeeze_excite(self, x: Tensor, indicators: BlockIndicators) -> Tensor:
        """``x * (1 + on * (gate - 1))``: exactly x where it is off (our choice; the paper's rule is not public)."""
        layers, ratios = self.block.squeeze_excite, indicators.squeeze.choices()
        assert isinstance(layers, SqueezeExcite)
        chosen = torch.outer(indicators.width.choices(), ratios).flatten() @ self.squeezed.flatten(0, 1)
        squeezed = layers.activation(layers.reduce(layers.pool(x))) * chosen.view(-1, 1, 1)
        gate = layers.gate(layers.expand(squeezed))
        on = indicators.squeeze.value[0] if self.nesting.ratios[0] == 0 else 1.0
        output: Tensor = x * (1 + on * (gate - 1))
        return output

    def candidate_gates(self, indicators: BlockIndicators) -> Tensor:
        """(candidates,): one-hot of the chosen one; linear in every indicator, also in those that dropout scales."""
        kernel, width = indicators.kernel.choices(), indicators.width.choices()
        sizes = kernel if self.nesting.tied else torch.outer(kernel, width).flatten()
        grid = torch.outer(sizes, indicators.squeeze.choices()).flatten()
        if self.nesting.skip is not None:
            grid = torch.cat([grid * indicators.kept, 1 - indicators.keep.value])
        return grid[self.order]

    def candidate_scores(self, indicators: BlockIndicators) -> Tensor:
        """(candidates,): log-probability of the likeliest indicators that choose each; highest for the one chosen."""
        kernel, width = indicators.kernel.scores(), indicators.width.scores()
        sizes = kernel if self.nesting.tied else (kernel[:, None] + width).flatten()
        grid = (sizes[:, None] + indicators.squeeze.scores()).flatten()
        if self.nesting.skip is not None:
            slack = indicators.keep.slack
            grid = torch.cat([grid + F.logsigmoid(slack), grid.max() + F.logsigmoid(-slack)])
        return grid[self.order]

    def run_candidate(self, x: Tensor, index: int) -> Tensor:
        """The candidate itself on its part of the weights, which are trained and whose statistics are kept here."""
        if index not in self._candidates:
            with torch.device("meta"):  # what it computes, without weights of its own
                self._candidates[index] = build_block(self.one_of.candidates[index])
        candidate = self._candidates[index].train(self.training)
        output: Tensor = functional_call(candidate, self.candidate_state(candidate), (x,))
        return output

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        self.one_of.index(spec)  # refuses what is no candidate
        return self.candidate_state(block)

    def candidate_state(self, candidate: nn.Module) -> dict[str, Tensor]:
        """Parameters and buffers of a candidate's module, by name: views of the weights here."""
        holder = self.block if self.skip is None or isinstance(candidate, MBConvBlock) else self.skip
        state = dict(holder.named_parameters()) | dict(holder.named_buffers())
        shapes = {name: tensor.shape for name, tensor in candidate.state_dict().items()}
        return {name: part(state[name], shape) for name, shape in shapes.items()}


def part(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The part of a weight that a smaller candidate has: its first channels, and the centre of its kernel."""
    for dim, (length, wanted) in enumerate(zip(tensor.shape, shape, strict=True)):
        tensor = tensor.narrow(dim, 0 if dim < 2 else (length - wanted) // 2, wanted)
    return tensor


def _gated(norm: nn.Module, gate: Tensor, x: Tensor) -> Tensor:
    """``gate * norm(x)`` per channel, at no cost per pixel; activations keep the zero of a channel that is off."""
    assert isinstance(norm, nn.BatchNorm2d)
    output: Tensor = functional_call(norm, {"weight": norm.weight * gate, "bias": norm.bias * gate}, (x,))
    return output


def _constants(nesting: Nesting) -> dict[str, Tensor]:
    largest = nesting.kernels[-1]
    cubes = []
    for kernel in nesting.kernels:
        margin = (largest - kernel) // 2
        cubes.append(F.pad(torch.ones(kernel, kernel), (margin,) * 4))
    rings = torch.stack(cubes).diff(dim=0, prepend=torch.zeros(1, largest, largest))
    hidden = nesting.largest.hidden_channels
    widths = torch.tensor([nesting.largest.in_channels * e for e in nesting.expansions])
    up_to = (torch.arange(hidden) < widths[:, None]).float()
    groups = up_to.diff(dim=0, prepend=torch.zeros(1, hidden))
    squeezed = [[nesting.squeezed_channels(e, r) for r in nesting.ratios] for e in nesting.expansions]
    channels = torch.arange(nesting.largest.squeezed_channels)
    return {
        "rings": rings,
        "groups": groups,
        "weights_in_group": torch.outer(groups.sum(1), rings.sum((1, 2))),
        "order": torch.tensor(nesting.order),
        "squeezed": (channels < torch.tensor(squeezed)[..., None]).float(),
    }
