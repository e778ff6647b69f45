"""The tasks of a study: search, train what was found, rank. Each is a resumable run that any process can do.

A task is JSON with paths in it, and leaves ``result.json`` in its folder. What it finds depends on nothing else: not on
the process, nor on how often it was stopped. A process that dies costs what was done since the last checkpoint.
"""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hwnas.child import save_child
from hwnas.errors import HwnasError
from hwnas.evaluation.gap import supernet_accuracies
from hwnas.evaluation.pilots import LONG, SHORT, longer, with_effort
from hwnas.files import read_json, write_json
from hwnas.foreign import Finite, NotNegative, checked
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.fitting.fit import predictor_of
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.tables.table import LatencyTable
from hwnas.locks import FolderInUse
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.searches.result import SearchResult
from hwnas.searches.search import search
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.data import ImageData, load_data
from hwnas.train.evaluate import accuracy
from hwnas.train.loop import open_run
from hwnas.train.threads import training_threads

RESULT_FILE, RUN_FOLDER = "result.json", "run"
PATIENCE_S = 30
"""How long a task waits for a folder that another process works in."""
Json = dict[str, Any]
Kind = Literal["pilot", "search", "train", "rank"]
Share = Annotated[float, Field(ge=0, le=1)]

_ALONE = threading.Lock()
"""Random numbers and the number of threads are torch's own, one for a process: a worker of several threads does one
task at a time."""


class _Searched(BaseModel):
    """What a search leaves."""

    seconds: NotNegative
    architecture: Json
    supernet: bool = True


class _Piloted(BaseModel):
    """What a pilot leaves."""

    seconds: NotNegative
    short_s: NotNegative
    long_s: NotNegative
    long: int = Field(LONG, ge=LONG)


class _Trained(BaseModel):
    """What a training leaves."""

    seconds: NotNegative
    accuracy: Share
    val_accuracy: Share


class _Ranked(BaseModel):
    """What a ranking leaves."""

    seconds: NotNegative
    supernet: dict[str, Finite] = Field(min_length=1)
    inherited: Share
    ranked: list[Share]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        kind: what is done.
        folder: of the task, which only one process works in at a time.
        asked: what decides the result, JSON values only.
        data: the images: a folder, or ``digits``.
        latency, predictor: the table, and the predictor of it that the study keeps.
    """

    kind: Kind
    folder: str
    asked: Json
    data: str
    latency: str
    predictor: str

    def to_json(self) -> Json:
        return asdict(self)

    @property
    def result(self) -> Json | None:
        """Its result, if it is done; None: it is not, or the file is damaged or answers another question."""
        path = Path(self.folder) / RESULT_FILE
        with suppress(HwnasError):
            written = read_json(path, "the result of a task")
            if isinstance(written, dict) and written.get("asked") == self.asked:
                found: Json = written.get("found") or {}
                checked(FOUND[self.kind], found, str(path), "it is made again")
                if self.kind == "search":
                    Architecture.from_json(found["architecture"])
                if self.kind != "rank" or len(found["ranked"]) == len(self.asked["ranked"]):
                    return dict(found)
        return None


def run_task(task: Json) -> Json:
    """Do a task, or go on with it. Raises HwnasError as what it is made of does."""
    wanted = Task(**task)
    folder = Path(wanted.folder)
    with _ALONE:
        if (known := wanted.result) is not None:
            return known
        started = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        with training_threads(folder, wanted.asked["train_threads"]):
            found = _when_free(lambda: KINDS[wanted.kind](wanted))
        gc.collect()  # a search that is still in memory keeps its folder locked, which another process may want now
        found["seconds"] = time.perf_counter() - started
        write_json(folder / RESULT_FILE, {"asked": wanted.asked, "found": found})
    return found


def _when_free(do: Callable[[], Json]) -> Json:
    """The result of `do` once no other process works in its folder: one that is being killed holds it a moment
    longer."""
    for _ in range(PATIENCE_S):
        try:
            return do()
        except FolderInUse:
            time.sleep(1)
    return do()


def images(task: Task) -> ImageData:
    """The task's images, divided by its seed."""
    asked = task.asked
    begun_with, divided = asked["images"], (asked["seed"], asked["limit_train"])
    found = _load(task.data, asked["resolution"], asked["batch_size"], *divided, begun_with["sha256"])
    if asked["seed"] == begun_with["seed"] and found.digest != begun_with["sha256"]:
        raise HwnasError(
            f"the images {task.data} are others here than where the study was begun. Give every worker the same "
            "folder; if they were changed, begin another study with --out."
        )
    return found


@lru_cache(maxsize=2)
def _load(
    data: str, resolution: int, batch_size: int, seed: int, limit_train: int | None, begun_with: str
) -> ImageData:
    """Read by this process alone: a worker may not start others. Anew for a study that was begun with others."""
    return load_data(data, resolution, batch_size=batch_size, seed=seed, limit_train=limit_train, workers=0)


def space_of(asked: Json) -> SearchSpace:
    return get_space(asked["space"], asked["resolution"], asked["classes"], asked["width"])


def keep_predictor(latency: str, space: SearchSpace, file: Path) -> LatencyPredictor:
    """The predictor of a table, as a study that begins or goes on keeps it in a file.

    What is kept counts: fits to the same numbers differ in their last digits from machine to machine.

    Raises HwnasError if the table is not the one that was kept of.
    """
    predictor = predictor_of(LatencyTable.load(latency), space)
    if not file.exists():
        predictor.save(file)
    kept = predictor.saved(file)
    if kept.digest != predictor.digest:
        raise HwnasError(
            f"the latencies in {latency} have changed since {file} was made of them, and a study has one table. "
            "Restore them, or begin another study with --out."
        )
    return kept


def kept_predictor(latency: str, space: SearchSpace, file: Path) -> LatencyPredictor:
    """What `keep_predictor` has kept."""
    table = LatencyTable.load(latency)
    return predictor_of(table, space).saved(file) if table.publication else AdditivePredictor.load(file)


def _pilot(task: Task) -> Json:
    """Seconds of the same search going a little, and somewhat further; what they find is not kept."""
    images(task)  # read before anything is timed

    def seconds(effort: int) -> float:
        folder = Path(task.folder) / str(effort)
        shutil.rmtree(folder, ignore_errors=True)  # what is left of one that was stopped would be gone on with
        started = time.perf_counter()
        _searched(replace(task, asked=with_effort(task.asked, effort)), folder)
        taken_s = time.perf_counter() - started
        gc.collect()  # as in `run_task`
        shutil.rmtree(folder, ignore_errors=True)
        return taken_s

    short_s, long, long_s = seconds(SHORT), LONG, seconds(LONG)
    if (further := longer(short_s, long_s, long)) > long:
        long, long_s = further, seconds(further)
    return {"short_s": short_s, "long_s": long_s, "long": long}


def _searched(task: Task, folder: Path) -> SearchResult:
    """The search, made now or before."""
    asked, space = task.asked, space_of(task.asked)
    return search(
        space,
        images(task),
        kept_predictor(task.latency, space, Path(task.predictor)),
        asked["budget_ms"],
        folder / RUN_FOLDER,
        asked["method"],
        asked["epochs"],
        asked["seed"],
        train_threads=asked["train_threads"],
        settings=asked["settings"],
        torch_device=asked["torch_device"],
    )


def _search(task: Task) -> Json:
    result = _searched(task, Path(task.folder))
    return {"architecture": result.architecture.to_json(), "supernet": result.net is not None}


def _train(task: Task) -> Json:
    """Train one network from scratch, as every network of the study is trained."""
    asked, folder, data = task.asked, Path(task.folder), images(task)
    architecture = Architecture.from_json(asked["architecture"])
    run = open_run(
        folder / RUN_FOLDER, asked | {"architecture": architecture.digest, "images": {"sha256": data.digest}}
    )
    torch_device = distributed.join(asked["torch_device"])  # says what is wrong with it
    child = train_child(architecture, data, run, asked["epochs"], asked["weights_seed"], torch_device=torch_device)
    save_child(child, run.folder)
    return {"accuracy": accuracy(child, data.test_batches()), "val_accuracy": accuracy(child, data.val_batches())}


def _rank(task: Task) -> Json:
    """The accuracies that a finished search's supernet gives to networks that were trained alone, and to its own."""
    asked, data = task.asked, images(task)
    result = _searched(task, Path(task.folder).parents[1] / "search" / asked["searched"])
    net = result.supernet
    inherited = InheritedEvaluator(net, data, asked["torch_device"])
    supernet = supernet_accuracies(net, data)
    ranked = [Architecture.from_json(each) for each in asked["ranked"]]
    return {
        "supernet": supernet,
        "inherited": _val(inherited, result.architecture),
        "ranked": [_val(inherited, architecture) for architecture in ranked],
    }


def _val(inherited: InheritedEvaluator, architecture: Architecture) -> float:
    found = inherited(architecture).accuracy
    assert found is not None
    return found


FOUND: dict[Kind, type[BaseModel]] = {"pilot": _Piloted, "search": _Searched, "train": _Trained, "rank": _Ranked}
KINDS: dict[Kind, Callable[[Task], Json]] = {"pilot": _pilot, "search": _search, "train": _train, "rank": _rank}
