"""README, CONTRIBUTING and docs say what the code says: its spaces, networks, verbs and parts."""

import math
import re

import pytest
import typer.main

from hwnas.cli.app import app
from hwnas.networks import NETWORKS
from hwnas.spaces import SPACES, get_space
from tests.conftest import ROOT
from tests.test_imports import PACKAGE, RANK

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHOOSING = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rows(text: str, first_cell: str) -> list[list[str]]:
    """The cells of the rows of the table whose first heading is `first_cell`."""
    table = text.split(f"\n| {first_cell} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


SPACE_ROWS = rows(CHOOSING, "space")


def test_the_documents_list_every_space():
    assert sorted(row[0] for row in SPACE_ROWS) == sorted(f"`{name}`" for name in SPACES)


@pytest.mark.parametrize("row", SPACE_ROWS, ids=lambda row: row[0].strip("`"))
def test_the_documents_count_the_decisions_and_codes_of_a_space(row):
    space = get_space(row[0].strip("`"))
    powers = row[3].split(", of them")[0].replace(",", "").split(" x ")
    assert int(row[2]) == len(space.decisions)
    assert math.prod(int(base) ** int(power or 1) for base, _, power in (p.partition("^") for p in powers)) == (
        space.size
    )


def test_the_documents_list_every_known_network():
    listed = CHOOSING.split("Known networks (`hwnas.networks`):", 1)[1].split("\n\n", 1)[0]
    assert sorted(re.findall(r"`([a-z0-9.-]+)`", listed)) == sorted(NETWORKS)


def test_the_readme_lists_every_verb():
    verbs = set(typer.main.get_command(app).commands)
    assert {row[0].split()[1].strip("`") for row in rows(README, "command")} == verbs


def test_contributing_lists_every_part_in_the_order_of_imports():
    parts = [name for row in rows(CONTRIBUTING, "part") for name in re.findall(r"`(\w+)(?:\.py|/)`", row[0])]
    assert sorted(parts) == sorted(RANK)
    ranks = [RANK[part] for part in parts]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *sorted(p.name for p in (ROOT / "docs").glob("*.md"))]
)
def test_the_files_that_a_document_names_exist(document):
    """Other than `devices/NAME.toml`, where capitals stand for a name."""
    path = ROOT / document if (ROOT / document).exists() else ROOT / "docs" / document
    named = re.findall(r"`((?:hwnas|tests|docs|benchmarks|devices|notebooks)/[\w./-]*)`", path.read_text("utf-8"))
    missing = [name for name in named if not (ROOT / name).exists() and not re.search(r"[A-Z]{3}", name)]
    assert not missing


def test_the_parts_that_contributing_names_are_of_the_kind_it_says():
    for row in rows(CONTRIBUTING, "part"):
        for name in re.findall(r"`(\w+(?:\.py|/))`", row[0]):
            assert (PACKAGE / name).exists(), name
