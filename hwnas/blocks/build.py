"""From a Spec to its module."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from hwnas.specs.spec import Spec


def build_block(spec: Spec) -> nn.Module:
    """The torch module of a Spec, with fresh weights. Its forward takes and gives (N, C, H, W); a Head gives (N, K)."""
    home, _, name = spec.module.rpartition(".")
    block: nn.Module = getattr(import_module(home), name)(spec)
    return block
