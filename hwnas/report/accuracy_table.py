"""The accuracy of model files on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hwnas.train.model_accuracy import ModelAccuracy

CLASSES_SHOWN = 10
"""Of the classes that are most often taken for others."""


def accuracy_table(title: str, found: Sequence[ModelAccuracy]) -> Group:
    """One row per file; the classes that the first gets wrong most often; and what was assumed."""
    table = Table(title=f"accuracy of {title}", title_justify="left", title_style="bold")
    table.add_column("file", style="cyan", overflow="fold")
    for head in ("accuracy %", "95 % interval", "images", "runtime"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in found:
        low, high = each.interval
        table.add_row(
            each.model.name,
            f"{100 * each.accuracy:.1f}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{sum(each.images.values())} {each.split}",
            each.runtime,
        )
    notes: dict[str, list[str]] = {}
    for each in found:
        for note in each.notes:
            notes.setdefault(note, []).append(each.model.name)
    said = [Text(_note(note, names, len(found)), style="yellow") for note, names in notes.items()]
    return Group(table, _classes(found[0]), *said)


def _classes(found: ModelAccuracy) -> Table:
    shares = sorted((found.right[name] / count, name) for name, count in found.images.items())
    shown = shares[:CLASSES_SHOWN]
    of = f"the {len(shown)} worst of {len(shares)} classes" if len(shares) > len(shown) else "classes"
    table = Table(title=f"{of}, {found.model.name}", title_justify="left", title_style="bold")
    table.add_column("class", style="cyan", overflow="fold")
    for head in ("right %", "images"):
        table.add_column(head, justify="right")
    for share, name in shown:
        table.add_row(Text(name), f"{100 * share:.1f}", str(found.images[name]))
    return table


def _note(note: str, names: Sequence[str], files: int) -> str:
    """A sentence, and of which files it is where it is not of all."""
    return f"! {note}" + (f" ({', '.join(names)})" if 1 <= len(names) < files else "")
