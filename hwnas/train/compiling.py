"""Compiling a network that is trained alone: `torch.compile` makes fewer and larger kernels of its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import UsageError

BACKEND = "inductor"
"""Of torch.compile; on a GPU it needs Triton, on a CPU a C++ compiler."""


def check_can_compile(torch_device: str) -> None:
    """Compile and run a function of one addition. Raises UsageError, which says why, where torch cannot."""

    def add_one(x: Tensor) -> Tensor:
        return x + 1

    try:
        torch.compile(add_one, backend=BACKEND)(torch.zeros(2, device=torch_device))
    except Exception as error:  # of torch, of Triton, of the C++ compiler, of the system
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(
            f"torch cannot compile for {torch_device!r} here ({lines[0] if lines else type(error).__name__}); install "
            "what it needs, a C++ compiler or on GPUs Triton, or leave out --compile."
        ) from error


def compiled(net: nn.Module) -> Callable[[Tensor], Any]:
    """What the network computes, compiled at its first call; its weights are the network's own."""
    return torch.compile(net, backend=BACKEND)
