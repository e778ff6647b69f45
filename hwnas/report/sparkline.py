"""A line of block characters that shows how a value went, from the first to the last."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from hwnas.report.console import CONSOLE

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
"""Heights from low to high; the second where the terminal has no blocks."""
WIDTH = 48
LARGEST = 1e300


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Heights between the lowest and the highest value; many values are averaged into `width` columns.

    What is not finite, such as a loss that was none, is left out; so is what is too large to be added up.
    """
    finite = [value for value in values if abs(value) < LARGEST]  # NaN is not
    count = min(width, len(finite))
    if count == 0:
        return ""
    ends = [round(i * len(finite) / count) for i in range(count + 1)]
    columns = [fmean(finite[ends[i] : ends[i + 1]]) for i in range(count)]
    low, high = min(columns), max(columns)
    blocks = BLOCKS if CONSOLE.encoding.lower().startswith("utf") else LETTERS
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((value - low) * scale)] for value in columns)
