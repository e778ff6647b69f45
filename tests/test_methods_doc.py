"""What docs/methods.md says of the tests and the settings is so."""

import re
from dataclasses import fields

import pytest

from hwnas.cli.options import METHODS
from hwnas.searches.search import SEARCHES
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def names_in(file: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE))


def test_every_test_that_it_names_exists():
    placed = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)
    assert len(placed) > 30
    for file, name in placed:
        assert name in names_in(file), f"{file}::{name}"
    everywhere = set().union(*(names_in(path.name) for path in (ROOT / "tests").glob("test_*.py")))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert named
    assert named <= everywhere


def test_every_method_is_in_its_table():
    assert set(re.findall(r"^\| `([a-z][a-z-]+)` \|", TEXT.split("## What all of them share")[0], re.MULTILINE)) == set(
        SEARCHES
    )


def test_the_help_and_the_readme_name_every_method():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(METHODS.split(", ")) == set(SEARCHES)
    assert all(f"`{method}`" in readme for method in SEARCHES)


@pytest.mark.parametrize("method", ["single-path", "dsnas"])
def test_its_tables_state_what_is_published_and_the_defaults(method):
    """Every setting in which `published()` differs stands in the section of the method."""
    section = TEXT.split({"single-path": "## Single-Path NAS", "dsnas": "## DSNAS"}[method])[1]
    settings = SEARCHES[method].settings
    default, published = settings(), settings.published()
    differing = [f.name for f in fields(settings) if getattr(default, f.name) != getattr(published, f.name)]
    assert len(differing) > 5
    for name in differing:
        assert f"`{name}`" in section.split("\n## ")[0], name
