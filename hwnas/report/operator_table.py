"""A profile of operators as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hwnas.runners.operator_profile import OperatorProfile


def operator_table(profile: OperatorProfile, title: str) -> Table:
    """Every operator with what it takes of one inference; below what lies outside them and what profiling cost."""
    shown = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        caption=(
            f"{profile.inference_ms:.4g} ms per inference, {profile.profiled_ms:.4g} ms while it is profiled, "
            f"{profile.outside_percent:.1f} % of that in no operator"
        ),
        caption_justify="left",
    )
    shown.add_column("operator", overflow="fold")
    shown.add_column("name", overflow="fold")
    for heading in ("calls", "ms", "%"):
        shown.add_column(heading, justify="right")
    for row in profile.operators:
        ms, share = f"{row.per_inference_ms:.4f}", f"{row.percent:.1f}"
        shown.add_row(Text(row.type), Text(row.name), str(row.times_called), ms, share)
    return shown
