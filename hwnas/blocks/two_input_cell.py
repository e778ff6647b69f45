"""The modules of cells of two inputs. What goes from cell to cell is a pair: the state before, and the last one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwnas.blocks.build import build_block
from hwnas.errors import HwnasError
from hwnas.specs.two_input_cell import CellNode, TwoInputCell

States = Tensor | tuple[Tensor, Tensor]
"""The input of a cell: the state before and the last one, or one that stands for both."""


class CellNodeBlock(nn.Module):
    """The module of a `CellNode`: a list of states, or one that stands for all -> their sum after the operators."""

    def __init__(self, spec: CellNode) -> None:
        super().__init__()
        self.sources = spec.sources
        self.operators = nn.ModuleList(map(build_block, spec.operators))

    def forward(self, states: Sequence[Tensor] | Tensor) -> Tensor:
        values = [
            operator(states if isinstance(states, Tensor) else states[source])
            for source, operator in zip(self.sources, self.operators, strict=True)
        ]
        total: Tensor = values[0]
        for value in values[1:]:
            total = total + value
        return total


class TwoInputCellBlock(nn.Module):
    """The module of a decided `TwoInputCell`: (N, before, H0, W0) and (N, in, H, W) -> (N, channels, H', W').

    One that keeps its input gives the last state and its own.
    """

    def __init__(self, spec: TwoInputCell) -> None:
        super().__init__()
        if not all(isinstance(node, CellNode) for node in spec.nodes):
            raise HwnasError("no module builds a cell with open decisions; decide them first (`space.decode(code)`).")
        self.preprocess = Preprocessing(spec)
        self.nodes = nn.ModuleList(map(build_block, spec.nodes))
        self.concat, self.keeps_input = spec.concat, spec.keeps_input

    def forward(self, states: States) -> States:
        inner, last = self.preprocess(states)
        for node in self.nodes:
            inner.append(node(inner))
        out = torch.cat([inner[state] for state in self.concat], dim=1)
        return (last, out) if self.keeps_input else out


class Preprocessing(nn.Module):
    """Gives the two states one size and one number of channels; and the last one as it came."""

    def __init__(self, spec: TwoInputCell) -> None:
        super().__init__()
        before, last = spec.preprocessing
        self.before, self.last = build_block(before), build_block(last)

    def forward(self, states: States) -> tuple[list[Tensor], Tensor]:
        before, last = (states, states) if isinstance(states, Tensor) else states
        return [self.before(before), self.last(last)], last
