"""What is each part of the fine-tuning recipe worth? One network, trained with a part taken out or put in.

    python benchmarks/recipe.py --data FOLDER [--resolution 64] [--epochs 20] [--seeds 3] [--only NAME,NAME] [--whole]
                                [--json]

The network is one whole block a stage of EfficientNet-Lite0, from its weights; with `--whole` all of it, which has
blocks that a drop path can leave out. Each row is trained alone for as many epochs, on one thread; the difference to
the row `default` is paired by seed.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from common import show
from scipy import stats
from torch import Tensor, nn

from hwnas.child import ChildNetwork
from hwnas.designer.choices import WHOLE_SPACE
from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv
from hwnas.supernet.start import largest_architecture, start_from
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.child import ChildTrainer
from hwnas.train.data import ImageData, load_data
from hwnas.train.division import VAL_FRACTION
from hwnas.train.evaluate import accuracy
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import seeded

BATCH_SIZE = 32
"""Of a design."""


@dataclass(frozen=True)
class Recipe:
    """A way to fine-tune: the default one, unless something is said."""

    settings: FineTuningSettings = field(default_factory=FineTuningSettings)
    augment: str = "photo"
    pretrained: bool = True
    mixed: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, float]] | None = None
    """Of images and labels: mixed images, the other labels, and the share of the first ones."""
    extra: Callable[[int], nn.Module] | None = None
    """More augmentation of images in 0..1, for images of a side in pixels."""
    val_fraction: float = VAL_FRACTION
    """Share of the training images that is kept for validation."""
    drop_path: float = 0.0
    """How often the last residual block is left out for an image; the ones before it in proportion to their place."""
    stops_early: bool = False
    """Whether the weights are those of the epoch whose validation accuracy is best."""
    teacher_epochs: int = 0
    """For how many epochs the whole of EfficientNet-Lite0 is trained, whose answers are learnt from then."""


def part(space: SearchSpace, expand: int, depth: str) -> Architecture:
    """The network of a space whose blocks have this expansion and their largest kernels, ``one`` a stage or ``all``."""
    indices = []
    for decision in space.decisions:
        empty = [k for k, spec in enumerate(decision.candidates) if spec.is_identity]
        wide = [
            (spec.kernel, k)
            for k, spec in enumerate(decision.candidates)
            if isinstance(spec, MBConv) and spec.expand == expand
        ]
        indices.append(empty[0] if empty and depth == "one" else max(wide)[1])
    return space.decode(indices)


def mixup(images: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """mixup (arXiv 1710.09412, equation 1)."""
    share, order = float(torch.distributions.Beta(alpha, alpha).sample()), torch.randperm(len(labels))
    return share * images + (1 - share) * images[order], labels[order], share


def cutmix(images: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """CutMix (arXiv 1905.04899, equations 1 and 2) of half of the batches, as its code does for CIFAR."""
    if torch.rand(()) < 0.5:
        return images, labels, 1.0
    share, order = float(torch.distributions.Beta(alpha, alpha).sample()), torch.randperm(len(labels))
    side = images.shape[-1]
    half, (row, column) = int(side * (1 - share) ** 0.5) // 2, torch.randint(side, (2,)).tolist()
    box = (slice(max(0, row - half), row + half), slice(max(0, column - half), column + half))
    mixed = images.clone()
    mixed[:, :, *box] = images[order][:, :, *box]
    return mixed, labels[order], 1 - mixed[0, 0, *box].numel() / side**2


def rand_augment(_side: int) -> nn.Module:
    """RandAugment (arXiv 1909.13719): two operations at magnitude 9."""
    from kornia.augmentation.auto import RandAugment

    return RandAugment(n=2, m=9)


def with_drop_path(child: ChildNetwork, rate: float) -> None:
    """Stochastic depth (arXiv 1603.09382, equation 5) by images, as EfficientNet has it: linear from 0 to the rate."""
    blocks = list(child.blocks)
    for position, block in enumerate(blocks):
        if getattr(block, "has_residual", False):
            block.register_forward_hook(partial(_dropped, rate * position / len(blocks)))


def _dropped(rate: float, block: nn.Module, given: tuple[Tensor], out: Tensor) -> Tensor:
    """What is left of a residual block's output when its branch is left out for some images."""
    if not block.training:
        return out
    kept = (torch.rand(len(out), 1, 1, 1) >= rate).to(out.dtype) / (1 - rate)
    return given[0] + kept * (out - given[0])


DEFAULT = FineTuningSettings()

RECIPES = {
    "default": Recipe(),
    "random weights": Recipe(pretrained=False),
    "crops of an eighth, no colour": Recipe(augment="flip-crop"),
    "no augmentation": Recipe(augment="none"),
    "no average of weights": Recipe(replace(DEFAULT, ema=0.0)),
    "no label smoothing": Recipe(replace(DEFAULT, label_smoothing=0.0)),
    "one rate for body and head": Recipe(replace(DEFAULT, head_lr=1.0)),
    "half the rate": Recipe(replace(DEFAULT, lr=DEFAULT.lr / 2)),
    "twice the rate": Recipe(replace(DEFAULT, lr=DEFAULT.lr * 2)),
    "no weight decay": Recipe(replace(DEFAULT, weight_decay=0.0)),
    "five times the weight decay": Recipe(replace(DEFAULT, weight_decay=5 * DEFAULT.weight_decay)),
    "mixup 0.2": Recipe(mixed=partial(mixup, alpha=0.2)),
    "CutMix 1": Recipe(mixed=partial(cutmix, alpha=1.0)),
    "RandAugment": Recipe(extra=rand_augment),
    "drop path 0.1": Recipe(drop_path=0.1),
    "stopped early": Recipe(stops_early=True),
    "a teacher": Recipe(teacher_epochs=5),
    "validation images too": Recipe(val_fraction=0.0),
}


def started(architecture: Architecture, space: SearchSpace) -> ChildNetwork:
    """The network with the weights of EfficientNet-Lite0 that it keeps."""
    net = SuperKernelNet(space)
    start_from(net, load_pretrained(largest_architecture(space)))
    return net.inherit(architecture)


def with_more(data: ImageData, extra: nn.Module) -> None:
    """Augment the images more, after what is done anyway."""
    data._augmentation = nn.Sequential(data._augmentation, extra)


def trained(recipe: Recipe, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train by a recipe; its accuracies and CPU seconds."""
    begin = time.process_time()
    data = load_data(
        options.data,
        options.resolution,
        batch_size=BATCH_SIZE,
        seed=seed,
        augment=recipe.augment,
        val_fraction=recipe.val_fraction,
        limit_train=options.limit_train,
        normalisation=(IMAGENET_MEAN, IMAGENET_STD),
    )
    if recipe.extra is not None:
        with_more(data, recipe.extra(options.resolution))
    with seeded(seed):
        space = get_space(WHOLE_SPACE, options.resolution, len(data.classes))
        whole = largest_architecture(space)
        architecture = whole if options.whole else part(space, 6, "one")
        start = started(architecture, space) if recipe.pretrained else None
    teacher = None
    if recipe.teacher_epochs:
        large = ChildTrainer(
            whole, data, recipe.teacher_epochs, seed, settings=recipe.settings, start=started(whole, space)
        )
        train(large, Recipe(), data, recipe.teacher_epochs)
        teacher = large.net.eval()
    trainer = ChildTrainer(architecture, data, options.epochs, seed, settings=recipe.settings, start=start)
    if recipe.drop_path:
        with_drop_path(trainer.net, recipe.drop_path)
    child = train(trainer, recipe, data, options.epochs, teacher)
    return {
        "accuracy": accuracy(child, data.test_batches()),
        "val_accuracy": accuracy(child, data.val_batches()) if data.counts["val"] else np.nan,
        "cpu_s": time.process_time() - begin,
    }


def train(
    trainer: ChildTrainer, recipe: Recipe, data: ImageData, epochs: int, teacher: nn.Module | None = None
) -> ChildNetwork:
    """All steps of a training by a recipe; the network that it gives."""
    plain, best, kept = trainer._loss, -1.0, None
    for epoch in range(epochs):
        for images, labels in data.train_batches(epoch):
            if recipe.mixed is not None:
                with seeded(trainer.seed, trainer.step_count):
                    images, others, share = recipe.mixed(images, labels)
                trainer._loss = partial(_mixed_loss, plain, others, share)
            if teacher is not None:
                with torch.no_grad():
                    answers = teacher(images.to(memory_format=torch.channels_last))
                trainer._loss = partial(recipe.settings.loss, teacher=answers)
            trainer.step(images, labels)
        if recipe.stops_early:
            now = accuracy(trainer.trained(), data.val_batches())
            if now > best:
                best, kept = now, copy.deepcopy(trainer.trained())
            trainer.net.train()
    return kept or trainer.trained()


def _mixed_loss(
    loss: Callable[[Tensor, Tensor], Tensor], others: Tensor, share: float, logits: Tensor, labels: Tensor
) -> Tensor:
    return share * loss(logits, labels) + (1 - share) * loss(logits, others)


def row(name: str, found: list[dict[str, Any]], default: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the difference to the default recipe with its 95 % interval (Student's t, paired)."""
    points = [100 * (mine["accuracy"] - its["accuracy"]) for mine, its in zip(found, default, strict=True)]
    half = float(stats.t.ppf(0.975, len(points) - 1) * stats.sem(points)) if len(points) > 1 else np.nan
    return {
        "recipe": name,
        "accuracy": mean(each["accuracy"] for each in found),
        "points_to_default": mean(points),
        "half_interval": half,
        "val_accuracy": mean(each["val_accuracy"] for each in found),
        "cpu_s": mean(each["cpu_s"] for each in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit-train", type=int, help="use only so many training images")
    parser.add_argument("--only", help=f"beside the default, separated by semicolons: {'; '.join(list(RECIPES)[1:])}")
    parser.add_argument("--whole", action="store_true", help="train all of EfficientNet-Lite0")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = list(RECIPES) if options.only is None else ["default", *map(str.strip, options.only.split(";"))]
    if unknown := [name for name in names if name not in RECIPES]:
        parser.error(f"unknown recipes: {', '.join(unknown)}; known are {', '.join(RECIPES)}")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        found[name] = [trained(RECIPES[name], options, seed) for seed in seeds]
        print(name, *(f"{each['accuracy']:.3f}" for each in found[name]), file=sys.stderr, flush=True)
    rows = [row(name, found[name], found["default"]) for name in names]
    show(f"recipes: {options.data.name}, {options.resolution} px, {options.epochs} epochs", rows, options.json)


if __name__ == "__main__":
    main()
