"""Compiled networks: they learn as others do, and a machine that cannot compile says why."""

from dataclasses import replace

import pytest
import torch

from hwnas.errors import UsageError
from hwnas.train import compiling
from hwnas.train.child import ChildTrainer
from hwnas.train.compiling import check_can_compile
from hwnas.train.data import load_data
from hwnas.train.finetuning import FineTuningSettings
from tests.test_dsnas import SPACE, problem


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=16, limit_train=64, val_fraction=0.2, workers=0)


@pytest.mark.weekly
def test_a_compiled_network_learns_what_it_learns_otherwise(digits, monkeypatch):
    monkeypatch.setattr(
        compiling, "BACKEND", "eager"
    )  # torch traces the network as for inductor, which would compile it for a minute
    trained, graphs = [], torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for compile in (False, True):
        trainer = ChildTrainer(SPACE.decode([0] * 7), digits, 1, settings=FineTuningSettings(), compile=compile)
        for batch in list(digits.train_batches(0))[:2]:
            trainer.step(*batch)
        trained.append(trainer.trained().state_dict())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1
    plain, compiled = trained
    assert plain.keys() == compiled.keys()  # an export finds the names that it knows
    assert all(torch.allclose(plain[name], compiled[name], rtol=1e-4, atol=1e-5) for name in plain)


def test_a_machine_without_a_compiler_says_why_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no-compiler"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    with pytest.raises(UsageError, match=r"torch cannot compile for 'cpu' here \(.+\); install .* leave out --compile"):
        check_can_compile("cpu")


def test_it_is_part_of_the_run_where_it_is_wanted(digits):
    assert "compile" not in problem(digits).identity
    assert replace(problem(digits), compile=True).identity["compile"] is True
