"""A SuperNetwork that starts from the weights of its largest network, such as pretrained ones.

A superkernel *is* its largest network while everything is on. A sampled net's candidates get their parts of it: the
first channels, the centre of the kernel. So that the first channels are the better ones, they are sorted by importance
before, which leaves the largest network what it was (Once-for-All, arXiv 1908.09791, section 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.blocks.convolutions import MBConvBlock
from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.specs.mbconv import MBConv
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel import SuperKernel, part
from hwnas.supernet.superkernel_net import SuperKernelNet


def largest_architecture(space: SearchSpace) -> Architecture:
    """The architecture with the candidate of most parameters in every decision. Of a nested space: what holds all."""
    return space.decode([largest_candidate(decision) for decision in space.decisions])


def start_from(net: SuperKernelNet | SampledNet, child: ChildNetwork) -> None:
    """Give a SuperNetwork the weights of its largest network, channels sorted by importance.

    Args:
        net: its weights are overwritten; logits and thresholds stay.
        child: the largest network of its space (`largest_architecture`); left as it is.

    Raises:
        UsageError: the child is another network, or a candidate is no part of the largest one of its decision.
    """
    if child.architecture != largest_architecture(net.space):
        raise UsageError(
            f"space {net.space.name!r} can start from the weights of its largest network only; this is another one: "
            f"{child.architecture}."
        )
    for node, block, spec in zip(net.nodes, child.blocks, child.architecture.blocks, strict=True):
        state = dict(block.state_dict())
        if isinstance(block, MBConvBlock):
            state = sorted_by_importance(block)
        if isinstance(node, SuperKernel):
            node.block.load_state_dict(state)
        elif isinstance(node, nn.ModuleList):
            for candidate in node:
                _take_part(candidate, state, spec)
        else:
            node.load_state_dict(state)


def sorted_by_importance(block: MBConvBlock) -> dict[str, Tensor]:
    """The state of a block with its expanded channels from the most to the least important: the same function.

    A channel's importance is the sum of the absolute weights that read it in the projection. Blocks whose channels are
    not free (no expansion, grouped convolutions) stay as they are.
    """
    state = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    projection = block.project[0]
    assert isinstance(projection, nn.Conv2d)
    if block.expand is None or projection.groups > 1:
        return state
    order = state["project.0.weight"].abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    for name, tensor in state.items():
        if name.startswith(("expand.", "depthwise.", "squeeze_excite.expand.")) and tensor.ndim:
            state[name] = tensor[order]
        elif name in ("project.0.weight", "squeeze_excite.reduce.weight"):
            state[name] = tensor[:, order]
    return state


def _take_part(candidate: nn.Module, state: dict[str, Tensor], spec: object) -> None:
    own = candidate.state_dict()
    if not own:
        return  # nothing stands there
    if not isinstance(candidate, MBConvBlock) or own.keys() != state.keys():
        raise UsageError(f"a candidate beside {spec} has other layers than it, and cannot take a part of its weights.")
    candidate.load_state_dict({name: part(state[name], tensor.shape) for name, tensor in own.items()})


def largest_candidate(decision: OneOf) -> int:
    """The index of the candidate with most parameters."""
    sizes = [spec.params if isinstance(spec, MBConv) else -1 for spec in decision.candidates]
    return int(torch.tensor(sizes).argmax())
