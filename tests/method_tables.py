"""The tables of the search methods in the documents, made from the registry: ``python -m tests.method_tables``."""

from __future__ import annotations

import re
from pathlib import Path

from hwnas.searches.registry import SEARCHES, get_search

ROOT = Path(__file__).resolve().parent.parent
HEADS = {
    "docs/choosing.md": "| `--method` | what it is |\n| --- | --- |\n",
    "docs/methods.md": "| `--method` | weights of the supernet | a step trains | what decides | section |\n"
    "| --- | --- | --- | --- | --- |\n",
}
"""The head that marks the table in each document."""


def table(document: str) -> str:
    """The table of a document as it must be, with its head."""
    rows = []
    for name in SEARCHES:
        method = get_search(name)
        section = f"[{method.section}](#{anchor(method.section)})"
        cells = (
            [method.summary]
            if document == "docs/choosing.md"
            else [method.weights, method.trains, method.decides, section]
        )
        rows.append(f"| {' | '.join([f'`{name}`', *cells])} |\n")
    return HEADS[document] + "".join(rows)


def found_table(document: str, text: str) -> str:
    """The table that stands in the text of a document."""
    found = re.search(re.escape(HEADS[document]) + r"(?:\|.*\n)*", text)
    assert found is not None, f"{document} has no table of the methods"
    return found[0]


def anchor(heading: str) -> str:
    """What a link to a heading ends in."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main() -> None:
    for document in HEADS:
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(found_table(document, text), table(document)), encoding="utf-8")


if __name__ == "__main__":
    main()
