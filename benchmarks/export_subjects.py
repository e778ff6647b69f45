"""What the export benchmark converts: by name, so that two Python environments build the same thing.

Needs torch and safetensors only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from networks import NETWORKS, with_statistics
from safetensors.torch import load_file
from torch import nn

from hwnas.blocks import build_block
from hwnas.child import build_child
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv

CHILD = "single-path-child"
CHILD_CODE = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"
"""The network that Single-Path NAS found (arXiv 1904.02877), in the space `single-path`."""

BLOCKS = {
    f"mbconv-k{spec.kernel}-e{spec.expand}-{spec.in_channels}-at-{size}": (spec, size)
    for spec, size in (
        (MBConv(24, 24, 3, 6), 56),
        (MBConv(32, 32, 3, 6), 28),
        (MBConv(40, 80, 5, 6, stride=2), 28),
        (MBConv(96, 96, 7, 3), 14),
        (MBConv(192, 192, 5, 6), 7),
    )
}
"""MBConv Specs with the resolution that each has in a network for 224 x 224."""

K7_BLOCK = next(name for name, (spec, _) in BLOCKS.items() if spec.kernel == 7)
SEVEN = (*NETWORKS, CHILD, K7_BLOCK)
"""The networks that are compared from conversion to latency. The blocks are compared in conversion only."""

SUBJECTS = tuple(dict.fromkeys((*SEVEN, *BLOCKS)))


@dataclass(frozen=True)
class Subject:
    """A module in evaluation mode, and the shape (N, C, H, W) of its input."""

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]

    @property
    def gives_image(self) -> bool:
        """Whether the output is (N, C, H, W) too: that of a block is, a network's is (N, classes)."""
        return self.name in BLOCKS


def build_subject(name: str, weights_folder: Path | None = None) -> Subject:
    """The subject called `name`, with its weights out of a folder, or with random ones, the same every time."""
    shape: tuple[int, ...] = (1, 3, 224, 224)
    if name in NETWORKS:
        module: nn.Module = NETWORKS[name]()
    elif name == CHILD:
        module = build_child(get_space("single-path").decode(CHILD_CODE))
    else:
        spec, size = BLOCKS[name]
        module, shape = build_block(spec), (1, spec.in_channels, size, size)
    subject = Subject(name, module.eval(), shape)
    if weights_folder is None:
        # images of half the size will do for statistics
        with_statistics(module, (4, shape[1], max(7, shape[2] // 2), max(7, shape[3] // 2)))
    else:
        module.load_state_dict(load_file(weights_folder / f"{subject.name}.safetensors"))
    return subject


def sample_input(subject: Subject) -> torch.Tensor:
    """A standard normal input, the same in every process."""
    return torch.randn(subject.input_shape, generator=torch.Generator().manual_seed(1))
