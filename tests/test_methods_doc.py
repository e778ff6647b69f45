"""What docs/methods.md says of the tests and the settings is so."""

import re
import typing
from dataclasses import fields

import pytest

from hwnas.cli.options import Method
from hwnas.searches.one_shot import OneShotSettings
from hwnas.searches.registry import SEARCHES, get_search
from tests.conftest import ROOT
from tests.method_tables import HEADS, found_table, table

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


@pytest.mark.parametrize("document", HEADS)
def test_the_tables_of_the_methods_are_those_of_the_registry(document):
    """`python -m tests.method_tables` writes them."""
    assert found_table(document, (ROOT / document).read_text(encoding="utf-8")) == table(document)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_method_has_its_section_and_is_named_by_the_help(name):
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    assert get_search(name).section in headings
    body = TEXT.split("## What all of them share")[1]
    assert f"`{name}`" in body or f"--method {name}`" in body
    assert name in typing.get_args(Method)[1].help.split(": ")[1].split(" [")[0].split(", ")


def is_published(name: str) -> bool:
    """Whether a method has settings as published, of its own."""
    settings = get_search(name).settings
    return hasattr(settings, "published") and type(settings.published()) is settings


@pytest.mark.parametrize("method", list(filter(is_published, SEARCHES)))
def test_its_tables_state_what_is_published_and_the_defaults(method):
    """Every setting in which `published()` differs stands in the section of the method."""
    section = TEXT.split(f"\n## {get_search(method).section}\n")[1]
    settings = get_search(method).settings
    default, published = settings(), settings.published()
    differing = [f.name for f in fields(settings) if getattr(default, f.name) != getattr(published, f.name)]
    assert len(differing) > (2 if issubclass(settings, OneShotSettings) else 5)  # few of theirs are not of the weights
    for name in differing:
        assert f"`{name}`" in section.split("\n## ")[0], name
