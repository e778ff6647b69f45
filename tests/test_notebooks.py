"""The notebooks as they are kept: run from the first cell to the last, with what they printed and drew, and no error.

`make test` runs the code of two of them, made smaller; `make test-weekly` runs all as they are.
"""

import json
import logging
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUICK = 'name = "quick"\nmin_ms = 0.5\nwarmup_ms = 0.0\nmin_runs = 5\nvisits = 1\ndrift_limit_percent = 1e6\n'
SMALLER = {
    "01_design_a_model.ipynb": {
        'hwnas.get_space("tiny")': 'hwnas.get_space("tiny", resolution=16, width=0.25)',
        'device="local"': 'device="quick.toml"',
        "networks=20": "networks=8",
        "resolution=32, batch_size=32": "resolution=16, batch_size=32, limit_train=64",
        "epochs=8": "epochs=1",
        # so small networks, measured for a moment beside other tests, have wide intervals
        "(slowest - fastest) / 3": "(slowest - fastest) * 30",
    },
    "02_a_phone_without_a_phone.ipynb": {"range(1000)": "range(50)"},
}
"""By notebook: what stands in it once, and what `make test` takes instead."""


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


def test_each_notebook_is_run_as_it_is_every_week():
    assert "--nbmake --nbmake-timeout=1200 notebooks" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SMALLER)
@pytest.mark.usefixtures("few_evaluations")
def test_the_code_of_a_notebook_runs_from_the_first_cell_to_the_last(name, tmp_path, monkeypatch, capsys):
    """In this process, which need not start a kernel that imports torch again."""
    import matplotlib.pyplot as plt

    cells = code_cells(ROOT / "notebooks" / name)
    code = "\n".join("".join(cell["source"]) for cell in cells)
    for kept, smaller in SMALLER[name].items():
        assert code.count(kept) == 1, kept
        code = code.replace(kept, smaller)
    (tmp_path / "quick.toml").write_text(QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: None)
    try:
        exec(compile(code, name, "exec"), {})
    finally:
        logging.captureWarnings(False)
        plt.close("all")
    printed = capsys.readouterr().out.splitlines()
    kept = [output for cell in cells for output in cell["outputs"] if output.get("name") == "stdout"]
    assert len(printed) == sum(len("".join(output["text"]).splitlines()) for output in kept)
