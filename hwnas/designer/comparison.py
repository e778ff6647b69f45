"""What a person would have picked: known networks scaled to the same budget, trained the same way, and compared.

A search is worth its time where what it finds is better than these. If one of them is, that is said, and its files are
written too.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from hwnas.child import load_child, save_child
from hwnas.designer.choices import RESOLUTIONS
from hwnas.designer.config import DesignProgress
from hwnas.designer.result import Rival
from hwnas.designer.task import Task, pretrained_file
from hwnas.exporter.export import export
from hwnas.exporter.exported import ExportedModel
from hwnas.files import read_json, write_json
from hwnas.networks.registry import get_network
from hwnas.networks.scaling import ScaledNetwork, scaled_to
from hwnas.pretrained import load_pretrained
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.evaluate import accuracy
from hwnas.train.export_images import export_images
from hwnas.train.loop import open_run

PLAIN, PRETRAINED = "plain-cnn", "efficientnet-lite0"

PLAIN_RESOLUTION = 32
"""In pixels: the smaller the image, the more channels the budget leaves."""

FOLDER, NETWORKS_FILE = "compared", "networks.json"


def candidates(task: Task) -> list[ScaledNetwork]:
    """The known networks within the budget: the plain one as wide as fits, the pretrained one at the largest image."""
    classes = len(task.data.classes)
    plain = scaled_to(PLAIN, task.budget_ms, task.measured_ms, [PLAIN_RESOLUTION], classes)
    if task.start is None:
        return plain
    whole: list[ScaledNetwork] = []
    for resolution in RESOLUTIONS:
        network = get_network(PRETRAINED, 1.0, resolution, classes)
        if (ms := task.measured_ms(network)) > task.budget_ms:
            break
        whole = [ScaledNetwork(PRETRAINED, 1.0, resolution, ms, network)]
    return [*plain, *whole]


def _kept_candidates(task: Task, path: Path) -> list[ScaledNetwork]:
    """Those that the run began with: measured anew, they might be a little wider or narrower."""
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
    scaled = distributed.from_first(lambda: _kept_candidates(task, folder / FOLDER / NETWORKS_FILE))
    return [_trained(task, each, folder / FOLDER, report) for each in scaled]


def _trained(task: Task, scaled: ScaledNetwork, folder: Path, report: DesignProgress) -> Rival:
    problem, settings = task.problem, task.settings
    data = task.data_at(scaled.resolution, report)
    start = None
    if scaled.network == PRETRAINED:
        start = load_pretrained(scaled.architecture, pretrained_file(task.config), problem.seed)
    decided = {"network": scaled.network, "width": scaled.width, "resolution": scaled.resolution}
    decided |= {"epochs": problem.epochs, "seed": problem.seed, "images": data.digest, "settings": asdict(settings)}
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
    )
    distributed.from_first(lambda: save_child(child, run.folder))
    val_accuracy, test_accuracy = accuracy(child, data.val_batches()), accuracy(child, data.test_batches())
    params, ms = scaled.architecture.params, scaled.ms
    return Rival(scaled.network, scaled.width, scaled.resolution, ms, val_accuracy, test_accuracy, params, run.folder)


def export_rival(rival: Rival, task: Task) -> list[ExportedModel]:
    """Write the model files of a known network that is better than what was found."""
    images = export_images(task.data_at(rival.resolution))
    return export(load_child(rival.folder), rival.folder / "models", images=images)
