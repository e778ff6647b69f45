"""The terminal: a console on stderr that is safe for text from outside, and a table of names and values on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hwnas.text import shown


class SafeConsole(Console):
    """A console for text from outside: in a str nothing is markup or an emoji's name, and nothing is a control code.

    What is to be coloured is given as a rich `Text`, or with a style.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As of every Console; safe before it is laid out, so that columns are as wide as their text."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """As of every Console; whatever the text comes in, it is made safe here at the latest."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


CONSOLE = SafeConsole(stderr=True, soft_wrap=False)


def key_value_table(title: str, rows: Mapping[str, str | Text]) -> Table:
    """A table of two columns: names and values."""
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", min_width=60)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
