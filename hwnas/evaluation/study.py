"""The Study: methods x seeds x images x budgets, all trained alike, beside random networks and simple rules.

search -> train every network that was found, from scratch -> have the supernets rank what was trained -> the table

Each part is a `Task`, a resumable run of its own in the study's folder; a study that is repeated goes on, and one that
is repeated with more methods, seeds, images or budgets does only what is new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from hwnas.designer.config import DesignProgress
from hwnas.evaluation.cluster import workers
from hwnas.evaluation.config import METHODS, StudyConfig, default_folder
from hwnas.evaluation.gap import Correlation, Gap, Ranking, seed_ceiling
from hwnas.evaluation.pilots import LONG, effort_within, with_effort
from hwnas.evaluation.result import Cell, StudyResult
from hwnas.evaluation.rules import RULES, depth, naswot_scores
from hwnas.evaluation.statistics import without_seeds
from hwnas.evaluation.study_images import Images, latency_folder, load_images
from hwnas.evaluation.tasks import Task
from hwnas.evaluation.truth import Truth
from hwnas.files import write_json
from hwnas.latency.budget import Budget
from hwnas.latency.wanted_budget import WantedBudget, resolve_budget
from hwnas.progress import silent
from hwnas.run import Run
from hwnas.searches.registry import get_search
from hwnas.space import Architecture

LOG = logging.getLogger(__name__)

STUDY_FILE, REPORT_FILE = "study.json", "report.json"

NEVER_SEARCHED = 2**31
"""Added to a seed, that of the weights of what was found: no search trains children with these, and chooses by them."""

Training = tuple[str, str, int]
"""Images, digest of the architecture, seed."""


def evaluate(
    config: StudyConfig,
    out: Path | str | None = None,
    worker_count: int = 1,
    cluster: str | None = None,
    progress: DesignProgress | None = None,
) -> StudyResult:
    """Compare search methods with random networks and simple rules.

    Args:
        config: what is compared.
        out: the study's folder; None: a name made of the configuration, in ``runs``. One that was begun goes on.
        worker_count: processes that work at once. The results do not depend on it.
        cluster: address of a Dask scheduler whose workers do it instead.
        progress: told what is going on.

    Raises:
        UsageError: an unknown name or a value out of range.
        HwnasError: infeasible budget, unusable images or table, a folder of another study, a full disk, no Dask.
    """
    started = time.perf_counter()
    for name in config.methods:
        get_search(METHODS[name]).resolve(config.settings.get(name, {}))
    report = progress or silent
    folder = Path(out or default_folder(config)).absolute()
    run = Run(folder, {"evaluates": "study"} | config.shared)
    write_json(folder / STUDY_FILE, config.model_dump(mode="json"))
    study = Study(config, folder, report)
    cells = study.cells()
    with workers(worker_count, cluster, folder) as able:

        def done_by(stage: str) -> Callable[[int, int, Task], None]:
            return lambda done, total, task: report(stage, done, total, Path(task.folder).name)

        study.take_piloted(able.run(study.pilots(), done_by("pilot")))
        study.take_searched(able.run(study.searches, done_by("search")))
        study.take_trained(able.run(study.trainings(), done_by("train")))
        study.take_ranked(able.run(study.rankings(), done_by("rank")))
    result = StudyResult(config, run.folder, cells, time.perf_counter() - started)
    write_json(folder / REPORT_FILE, result.to_json())
    return result


@dataclass
class Study:
    """The tasks of a study, and what they have found so far."""

    config: StudyConfig
    folder: Path
    report: DesignProgress
    searches: list[Task] = field(default_factory=list)
    _cells: list[Cell] = field(default_factory=list)
    _trained: dict[Training, dict[str, Any] | None] = field(default_factory=dict)
    _networks: dict[str, dict[str, Architecture]] = field(default_factory=dict)
    """By images and digest: everything that is trained."""
    _scores: dict[str, list[float]] = field(default_factory=dict)
    _vals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By images and digest: see `_validated`."""

    @cached_property
    def seeds(self) -> range:
        return range(self.config.first_seed, self.config.first_seed + self.config.seeds)

    @cached_property
    def latency(self) -> Path:
        """The folder of the latency table."""
        return latency_folder(self.config)

    @cached_property
    def images(self) -> list[Images]:
        """Every set of images, loaded once, and the predictor as the study keeps it."""
        return load_images(self.config, self.latency, self.folder, self.report)

    @cached_property
    def truth(self) -> Truth | None:
        return None if self.config.truth is None else Truth.read(Path(self.config.truth))

    def cells(self) -> list[Cell]:
        """A cell for every contender, set of images, budget and seed; those of the rules know their networks."""
        for images in self.images:
            if self.truth is not None:  # whatever is wrong with it is said before the work
                self.truth.networks(images.space)
            known: dict[str, WantedBudget] = {}
            for wanted in dict.fromkeys(self.config.budget_ms):
                budget = Budget(resolve_budget(wanted, images.space, images.predictor), images.space, images.predictor)
                budget.check_feasible()
                if (same := known.setdefault(f"{budget.budget_ms:.9g}", wanted)) != wanted:
                    LOG.warning("%s is left out: it is %g ms, as %s is", wanted, budget.budget_ms, same)
                    continue
                for method in self.config.contenders:
                    for seed in self.seeds:
                        self._add(images, wanted, budget, method, seed)
        return self._cells

    def _add(self, images: Images, wanted: WantedBudget, budget: Budget, method: str, seed: int) -> None:
        cell = Cell(method, images.name, wanted, budget, seed)
        self._cells.append(cell)
        if method in RULES:
            cell.architecture = RULES[method](budget, seed, images.data)
            return
        settings = self.config.settings.get(method, {})
        name = f"{method}-{images.place}-{budget.budget_ms:.9g}ms-{seed}"
        asked = {
            "method": METHODS[method],
            "settings": settings,
            "budget_ms": budget.budget_ms,
            "latencies": images.predictor.digest,
        }
        cell.search = self._task("search", name, images, seed, asked)
        self.searches.append(cell.search)

    def _task(self, kind: Any, name: str, images: Images, seed: int, asked: dict[str, Any]) -> Task:
        config = self.config
        common = {
            "space": config.space,
            "resolution": images.data.resolution,
            "classes": len(images.data.classes),
            "width": config.width,
            "images": {"seed": config.first_seed, "sha256": images.data.digest},
            "batch_size": config.batch_size,
            "limit_train": config.limit_train,
            "epochs": config.epochs,
            "seed": seed,
            "torch_device": config.torch_device,
            "train_threads": config.train_threads,
        }
        data = images.name if images.name == "digits" else str(Path(images.name).absolute())
        place = str(self.folder / kind / name)
        return Task(kind, place, common | asked, data, str(self.latency), str(images.predictor_file))

    def pilots(self) -> list[Task]:
        """Where every search is given as many seconds: a short one of each, which its seeds share."""
        if self.config.search_seconds is None:
            return []
        pilots = [replace(task, kind="pilot", folder=self._pilot_folder(task)) for task in self.searches]
        return list({pilot.folder: pilot for pilot in reversed(pilots)}.values())[::-1]

    def _pilot_folder(self, search: Task) -> str:
        return str(self.folder / "pilot" / Path(search.folder).name.rsplit("-", 1)[0])

    def take_piloted(self, results: list[dict[str, Any]]) -> None:
        """Have each search go as far as its seconds allow."""
        if self.config.search_seconds is None:
            return
        found = dict(zip((pilot.folder for pilot in self.pilots()), results, strict=True))
        for cell in self._cells:
            if cell.search is not None:
                pilot = found[self._pilot_folder(cell.search)]
                effort = effort_within(
                    self.config.search_seconds, pilot["short_s"], pilot["long_s"], pilot.get("long", LONG)
                )
                asked = with_effort(cell.search.asked, effort)
                cell.search = replace(cell.search, folder=f"{cell.search.folder}-{effort}", asked=asked)
                cell.effort = effort
        self.searches = [cell.search for cell in self._cells if cell.search is not None]

    def take_searched(self, results: list[dict[str, Any]]) -> None:
        found = {task.folder: result for task, result in zip(self.searches, results, strict=True)}
        for cell in self._cells:
            if cell.search is not None:
                cell.architecture = Architecture.from_json(found[cell.search.folder]["architecture"])
                cell.search_seconds = found[cell.search.folder]["seconds"]
                cell.has_supernet = found[cell.search.folder].get("supernet", True)  # all had one in earlier versions
        for cell in self._cells:
            if self.truth is not None:
                cell.regret = self.truth.regret(cell.budget, cell.network)

    def trainings(self) -> list[Task]:
        """One for every network that was found, and seed; whoever found it. And those that are only ranked."""
        by_name = {images.name: images for images in self.images}
        wanted = [(by_name[cell.data], cell.network, cell.seed) for cell in self._cells]
        for images in self.images if self.config.methods else ():
            rng, seed = Random(self.config.first_seed), self.config.first_seed
            ranked = [images.space.sample(rng) for _ in range(self.config.ranked)]
            wanted += [(images, each, seed + n) for each in ranked for n in range(self.config.ranked_seeds)]
        tasks: dict[Training, Task] = {}
        for images, network, seed in wanted:
            self._networks.setdefault(images.name, {})[network.digest] = network
            name = f"{images.place}-{network.digest[:12]}-{seed}"
            asked = {"architecture": network.to_json(), "weights_seed": seed + NEVER_SEARCHED}
            task = self._task("train", name, images, seed, asked)
            tasks.setdefault((images.name, network.digest, seed), task)
        self._trained = dict.fromkeys(tasks)
        return list(tasks.values())

    def take_trained(self, results: list[dict[str, Any]]) -> None:
        self._trained = dict(zip(self._trained, results, strict=True))
        for cell in self._cells:
            found = self._trained[cell.data, cell.network.digest, cell.seed]
            assert found is not None
            cell.accuracy, cell.val_accuracy, cell.train_seconds = (
                found[name] for name in ("accuracy", "val_accuracy", "seconds")
            )

    def rankings(self) -> list[Task]:
        """One for every search that has a supernet: it ranks everything that was trained on its images."""
        tasks = []
        by_name = {images.name: images for images in self.images}
        for cell in self._with_supernet:
            assert cell.search is not None
            ranked = [network.to_json() for network in self._networks[cell.data].values()]
            asked = cell.search.asked | {"searched": Path(cell.search.folder).name, "ranked": ranked}
            name = Path(cell.search.folder).name
            tasks.append(self._task("rank", name, by_name[cell.data], cell.seed, asked))
        return tasks

    def take_ranked(self, results: list[dict[str, Any]]) -> None:
        for cell, found in zip(self._with_supernet, results, strict=True):
            networks = self._networks[cell.data]
            validated = [self._validated(cell.data)[digest] for digest in networks]
            trained = [round(fmean(each), 9) for each in validated]  # rounded: what is equal stays so
            cell.gap = Gap(
                supernet=found["supernet"],
                inherited=found["inherited"],
                retrained=cell.val_accuracy,
                ranking=Ranking.of(found["ranked"], trained),
                by_macs=Correlation.of([float(each.macs) for each in networks.values()], trained),
                by_depth=Correlation.of([float(depth(each)) for each in networks.values()], trained),
                by_naswot=Correlation.of(self._naswot(cell.data), trained),
                ceiling=seed_ceiling(validated),
            )

    def _naswot(self, data: str) -> list[float]:
        """The training-free score of everything that was trained on some images; worked out once."""
        if data not in self._scores:
            score = naswot_scores(next(images for images in self.images if images.name == data).data)
            self._scores[data] = [score(network) for network in self._networks[data].values()]
        return self._scores[data]

    @property
    def _with_supernet(self) -> list[Cell]:
        return [cell for cell in self._cells if cell.has_supernet]

    def _validated(self, data: str) -> dict[str, list[float]]:
        """What each network gets of the validation images, trained alone, with each seed that it was trained with, in
        their order; as if all were of the same division."""
        if data not in self._vals:
            found = {
                (digest, seed): result["val_accuracy"]
                for (images, digest, seed), result in self._trained.items()
                if images == data and result is not None
            }
            for (digest, _), value in sorted(without_seeds(found).items()):
                self._vals.setdefault(data, {}).setdefault(digest, []).append(value)
        return self._vals[data]
