"""The library: its verbs say what they take, and a type checker and Python refuse what they do not."""

import ast
import inspect
import os
import subprocess
import sys

import pytest

import hwnas
from tests.commands import run_command
from tests.conftest import ROOT

VERBS = ["accuracy", "bench", "design", "export", "fit", "import_table", "inspect", "measure", "price", "search"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_names_its_parameters_with_their_types(verb):
    signature = inspect.signature(getattr(hwnas, verb))
    assert signature.parameters
    for parameter in signature.parameters.values():
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, parameter
        assert parameter.annotation is not inspect.Parameter.empty, parameter
    assert signature.return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("name", hwnas.__all__)
def test_every_public_name_is_documented(name):
    assert (getattr(hwnas, name).__doc__ or "").strip()


def test_type_checkers_and_python_find_the_same_public_names():
    tree = ast.parse((ROOT / "hwnas" / "__init__.py").read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {alias.name: line.module for line in checked.body for alias in line.names}
    assert homes == {name: f"hwnas.{module}" for name, module in hwnas._HOME.items()}
    assert sorted(homes) == sorted(hwnas.__all__)


TYPO = """
import hwnas

def misspelt(space: hwnas.SearchSpace) -> None:
    hwnas.search(space, 1, 2, 3.0, "out", resolutoin=32)
    hwnas.export(space, "out", resolutoin=32)

def right(space: hwnas.SearchSpace) -> None:
    hwnas.search(space, 1, 2, 3.0, "out", settings={"evaluations": 4})
"""

ONLY_THE_VERBS = """
[mypy]
follow_imports = skip
[mypy-hwnas,hwnas.searches.search,hwnas.exporter.export]
follow_imports = silent
"""
"""Without what they import, which mypy would read for a minute."""


def test_a_type_checker_refuses_a_misspelt_argument(tmp_path):
    (tmp_path / "typo.py").write_text(TYPO)
    (tmp_path / "mypy.ini").write_text(ONLY_THE_VERBS)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", ".cache", "typo.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
    )
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert [line.split(": error: ")[0] for line in errors] == ["typo.py:5", "typo.py:6"], checked.stdout
    assert all("resolutoin" in line for line in errors)


def test_the_version_is_that_of_the_library(monkeypatch, capsys):
    assert run_command(monkeypatch, capsys, "--version") == (0, f"hwnas {hwnas.__version__}\n", "")


def test_importing_the_library_imports_nothing_else_of_it():
    done = subprocess.run(
        [sys.executable, "-c", "import hwnas, sys; print(*(name for name in sys.modules if 'hwnas' in name))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert set(done.stdout.split()) == {"hwnas", "hwnas.openmp"}
