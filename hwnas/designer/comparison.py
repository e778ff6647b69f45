"""The networks that a person would have picked: known ones scaled to the same budget, trained alike and compared.

A search is worth its time where its network is better than these. If one of them is better, a design returns that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from hwnas.child import ChildNetwork, save_child
from hwnas.designer.choices import RESOLUTIONS
from hwnas.designer.config import DesignProgress
from hwnas.designer.int8_finetuning import FINE_TUNED_FOLDER, suited_to_int8
from hwnas.designer.result import Rival
from hwnas.designer.task import Task, pretrained_file
from hwnas.files import read_json, write_json
from hwnas.networks.registry import get_network
from hwnas.networks.scaling import ScaledNetwork, scaled_to
from hwnas.pretrained import load_pretrained
from hwnas.run import COMPARED_FOLDER
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy, accuracy_and_loss
from hwnas.train.loop import open_run

PLAIN, PRETRAINED = "plain-cnn", "efficientnet-lite0"

PLAIN_RESOLUTION = 32
"""In pixels: the smaller the image, the more channels the budget leaves."""

OTHER_RESOLUTIONS = (48, 64, 96)
"""In pixels, of the others that start from random weights."""

SHARE = 0.98
"""The share of the budget that they may take: trained and measured again, each is a percent or two faster or slower."""

NETWORKS_FILE = "networks.json"


def candidates(task: Task) -> list[ScaledNetwork]:
    """The known networks that are compared, each as large as fits."""
    names = task.config.compare_with or ((PLAIN,) if task.start is None else (PLAIN, PRETRAINED))
    found = [network for name in names if (network := _as_large_as_fits(name, task)) is not None]
    if task.budget.further:  # they were scaled to the limit that leaves least room
        return [replace(each, ms=task.measured_ms(each.architecture)) for each in found]
    return found


def _as_large_as_fits(name: str, task: Task) -> ScaledNetwork | None:
    """A known network within the budget; None if it is too slow at any width and resolution.

    What starts from pretrained weights keeps its width, at the largest image that fits; the plain network is as wide as
    fits; of the others that one is taken which has the most multiply-adds.
    """
    budget_ms, classes = SHARE * task.budget_ms, len(task.data.classes)
    if name == PRETRAINED and task.start is not None:
        whole = None
        for resolution in RESOLUTIONS:
            network = get_network(PRETRAINED, 1.0, resolution, classes)
            if (ms := task.limited_ms(network)) > budget_ms:
                break
            whole = ScaledNetwork(PRETRAINED, 1.0, resolution, ms, network)
        return whole
    resolutions = [PLAIN_RESOLUTION] if name == PLAIN else list(OTHER_RESOLUTIONS)
    found = scaled_to(name, budget_ms, task.limited_ms, resolutions, classes)
    return max(found, key=lambda scaled: scaled.architecture.macs, default=None)


def kept_candidates(task: Task, folder: Path) -> list[ScaledNetwork]:
    """Those that the run in `folder` began with: measured anew, they might be a little wider or narrower."""
    path = folder / COMPARED_FOLDER / NETWORKS_FILE
    if not path.exists():
        found = candidates(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"networks": [each.to_json() for each in found]})
    known, classes = read_json(path, "the networks that are compared")["networks"], len(task.data.classes)
    return [
        ScaledNetwork(**each, architecture=get_network(each["network"], each["width"], each["resolution"], classes))
        for each in known
    ]


def compare(task: Task, folder: Path, report: DesignProgress) -> list[Rival]:
    """Train and evaluate the known networks. Goes on where it was stopped.

    Args:
        task: that was searched; they are trained with its settings, for as many epochs.
        folder: the run's.
        report: told what is going on.
    """
    scaled = distributed.from_first(lambda: kept_candidates(task, folder))
    return [_trained(task, each, folder / COMPARED_FOLDER, report) for each in scaled]


def _trained(task: Task, scaled: ScaledNetwork, folder: Path, report: DesignProgress) -> Rival:
    problem, settings = task.problem, task.settings
    data = task.data_at(scaled.resolution, report)
    start = None
    if scaled.network == PRETRAINED and task.start is not None:
        start = load_pretrained(scaled.architecture, pretrained_file(task.config), problem.seed)
    decided = {"network": scaled.network, "width": scaled.width, "resolution": scaled.resolution}
    decided |= {"epochs": problem.epochs, "seed": problem.seed, "images": data.digest, "settings": asdict(settings)}
    decided |= {} if problem.amp == "off" else {"amp": problem.amp}
    decided |= {"compile": True} if problem.compile else {}
    run = open_run(folder / f"{scaled.network}-{scaled.width:g}-{scaled.resolution}px", decided)

    def on_step(done: int, total: int, now: dict[str, float]) -> None:
        report(f"compare with {scaled.network}", done, total, f"loss {now['loss']:.3g}")

    child = train_child(
        scaled.architecture,
        data,
        run,
        problem.epochs,
        problem.seed,
        on_step,
        problem.torch_device,
        settings,
        start,
        problem.amp,
        problem.compile,
    )
    child, _ = suited_to_int8(task, child, data, run.folder / FINE_TUNED_FOLDER, on_step)
    distributed.from_first(lambda: save_child(child, run.folder))
    return compared(child, task.judged(child, data), scaled.network, scaled.width, data, run.folder, scaled.ms)


def compared(
    child: ChildNetwork,
    judged: nn.Module,
    network: str,
    width: float,
    data: ImageData,
    folder: Path,
    measured_ms: float = math.nan,
) -> Rival:
    """The figures that a trained network is compared by.

    Args:
        child: the network.
        judged: what its accuracy is taken of: `Task.judged`.
        network, width: its name, and how wide it is.
        data: the images at its resolution.
        folder: where its weights are.
        measured_ms: its latency.
    """
    val_accuracy, val_loss = accuracy_and_loss(judged, data.val_batches())
    test_accuracy, params = accuracy(judged, data.test_batches()), child.architecture.params
    return Rival(network, width, data.resolution, measured_ms, val_accuracy, val_loss, test_accuracy, params, folder)


def better_than(found: Rival, rivals: Sequence[Rival]) -> Rival | None:
    """The best known network if it is better than the one that was found, else None.

    It is where it gets more validation images right *and* their loss is lower: of a few hundred images one accuracy is
    above the other by chance too often.
    """
    better = [each for each in rivals if each.val_accuracy > found.val_accuracy and each.val_loss < found.val_loss]
    return max(better, key=lambda rival: (rival.val_accuracy, -rival.val_loss), default=None)
