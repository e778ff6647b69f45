"""The notebooks as they are kept: run from the first cell to the last, with what they printed and drew, and no error.

`make test` runs those that take seconds, `make test-weekly` all of them.
"""

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WEEKLY = {"03_your_photographs.ipynb", "04_methods_compared.ipynb"}


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_its_outputs_are_kept_and_hold_no_error_and_no_place_of_a_person(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any(output["output_type"] == "stream" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
        assert "/home/" not in json.dumps(output) and "/tmp/" not in json.dumps(output)


def test_each_notebook_is_run_by_one_of_the_two_commands():
    targets = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ntest-fast:")
    for path in NOTEBOOKS:
        assert (f"notebooks/{path.name}" in targets[0]) == (path.name not in WEEKLY)
    assert "--nbmake --nbmake-timeout=1200 notebooks" in targets[1]
