"""Every search, killed at random steps and continued, equals one that was never stopped: bit for bit."""

import hashlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from hwnas.run import Run
from hwnas.searches import reranked
from hwnas.searches.evaluators import EVALUATIONS_FILE, LookedUpEvaluator, RecordedEvaluator
from hwnas.searches.registry import SEARCHES, get_search
from hwnas.searches.result import SearchResult
from hwnas.train.data import load_data
from tests.processes import started
from tests.test_dsnas import problem
from tests.weekly import weekly_except

SHORT = {
    "spos": {"evaluations": 10, "population": 5},
    "random": {"evaluations": 8},
    "least-squares": {"evaluations": 8},
    "weaknas": {"evaluations": 14},
    "single-path-lambda": {"trials": 2, "lowest": 1e-3},
}


def search(name: str, folder: Path) -> SearchResult:
    """A short search with a checkpoint after every step; on one thread, so that all processes round alike.

    It evaluates 4 networks where 16 are the least that a person gets.
    """
    torch.set_num_threads(1)
    data = load_data("digits", resolution=16, batch_size=32, limit_train=128, val_fraction=0.05, workers=0)
    method = get_search(name)
    settings = method.resolve(SHORT.get(name, {}) | {"checkpoint_seconds": 0.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranked, "LEAST_NETWORKS", 4)
        return method.search(problem(data, epochs=2), Run(folder, {}), None, settings)


def digest(result: SearchResult) -> str:
    """SHA-256 of what was found, of all weights, statistics, logits and thresholds."""
    hashed = hashlib.sha256(result.architecture.code.encode())
    for name, tensor in sorted(result.net.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def logged(folder: Path) -> dict[str, str]:
    """Everything that was logged, by file."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.jsonl"))}


def lines_logged(folder: Path) -> int:
    return sum(text.count("\n") for text in logged(folder).values()) if folder.exists() else 0


def kill_after(lines: int, name: str, folder: Path) -> int:
    """The exit code of a search that is killed some ms after it has logged so many lines."""
    process = started(search, name, folder)
    assert process.pid is not None
    while lines_logged(folder) < lines and process.is_alive():
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.01))  # anywhere in the step, or in the writing of its checkpoint
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture(autouse=True)
def threads_as_they_were():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", weekly_except(["dsnas"], SEARCHES))
def test_killed_at_random_steps_and_continued_equals_uninterrupted(tmp_path, name):
    """Once, and one of them twice; every verb, and many more times: ``benchmarks/run_kills.py``.

    Files of single methods stop each phase without a process of its own.
    """
    whole = search(name, tmp_path / "whole")
    total = lines_logged(tmp_path / "whole")
    stops = sorted(random.Random(name).sample(range(1, 2 * total // 3), 2 if name == "dsnas" else 1))
    for stop in stops:
        assert kill_after(stop, name, tmp_path / "killed") == -signal.SIGKILL
    again = search(name, tmp_path / "killed")
    assert digest(again) == digest(whole)
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


def test_an_evaluation_that_was_cut_off_is_made_again_and_spoils_no_other(tmp_path):
    data = load_data("digits", resolution=16, batch_size=32, limit_train=128, val_fraction=0.05, workers=0)
    task, run = problem(data), Run(tmp_path / "run", {})
    space = task.budget.space
    codes = [[0] * 7, [1] * 7, [2] * 7]
    evaluator = RecordedEvaluator(LookedUpEvaluator(lambda architecture: 0.5), run.folder)
    for code in codes[:2]:
        evaluator(space.decode(code))
    path = run.folder / EVALUATIONS_FILE
    path.write_text(path.read_text()[:-10])
    asked = []

    def look_up(architecture) -> float:
        asked.append(architecture.code)
        return 0.5

    again = RecordedEvaluator(LookedUpEvaluator(look_up), run.folder)
    for code in codes:
        again(space.decode(code))
    assert asked == [space.decode(code).code for code in codes[1:]]
    final = RecordedEvaluator(LookedUpEvaluator(look_up), run.folder)
    for code in codes:
        final(space.decode(code))
    assert len(asked) == 2
