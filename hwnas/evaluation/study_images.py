"""The sets of images of a study, each with the space for its classes and the predictor that the study keeps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from hwnas.designer.config import DesignProgress
from hwnas.devices.device import comes_with_hwnas, load_device
from hwnas.evaluation.config import StudyConfig
from hwnas.evaluation.tasks import keep_predictor
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.tables.known import find_table
from hwnas.latency.tables.shipped import table_folder
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data


@dataclass
class Images:
    """One set of images, and what is known of the space for it."""

    name: str
    place: str
    """In the names of folders."""
    data: ImageData
    space: SearchSpace
    predictor: LatencyPredictor
    predictor_file: Path


def latency_folder(config: StudyConfig) -> Path:
    """The folder of the latency table. Raises HwnasError where there is none."""
    if config.latency is not None:
        return table_folder(config.latency).absolute()
    device = load_device(config.device)
    runtime = config.runtime or device.runtime
    more: dict[str, Any] = {"shipped": comes_with_hwnas(device), "typed": config.device}
    return find_table(config.tables, device.name, runtime, get_space(config.space), **more).absolute()


def load_images(config: StudyConfig, latency: Path, folder: Path, report: DesignProgress) -> list[Images]:
    """Every set of images once.

    Args:
        config: what is compared.
        latency: the folder of the latency table.
        folder: the study's, which keeps the predictors.
        report: told how many images are read.

    Raises HwnasError for unusable images or an unusable table.
    """
    return [_load(name, place, config, latency, folder, report) for name, place in _places(config.data).items()]


def _load(name: str, place: str, config: StudyConfig, latency: Path, folder: Path, report: DesignProgress) -> Images:
    data = load_data(
        name,
        get_space(config.space, config.resolution, width=config.width).input_shape[1],
        batch_size=config.batch_size,
        seed=config.first_seed,
        limit_train=config.limit_train,
        progress=lambda done, total: report("images", done, total, name),
    )
    space = get_space(config.space, config.resolution, len(data.classes), config.width)
    file = folder / "predictors" / f"{place}-{len(data.classes)}.json"  # the head depends on the classes
    return Images(name, place, data, space, keep_predictor(str(latency), space, file), file)


def _places(sources: tuple[str, ...]) -> dict[str, str]:
    """By source, its name in those of folders: two of one name are told apart by their numbers."""
    names = {source: Path(source).resolve().name[:40] for source in sources}
    places: dict[str, str] = {}
    for source, name in names.items():
        tried = chain([name], (f"{name}-{number}" for number in count(len(places))))
        # not the name of another source either, which may come later
        places[source] = next(
            each for each in tried if each not in places.values() and (each == name or each not in names.values())
        )
    return places
