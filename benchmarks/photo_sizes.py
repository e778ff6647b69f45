"""Which part of EfficientNet-Lite0 is best for so many ms, at which side? Networks fine-tuned alone, without a search.

    python benchmarks/photo_sizes.py --data FOLDER [--limit-train N] [--epochs 15] [--seeds 1]
                                     [--networks lite:64:6:one,lite-5:48:6:all,...] [--json]

A network is named by its space, the side in pixels, the expansion of its blocks, and whether a stage has ``one`` block
or ``all``; kernels are the largest. Each starts from the pretrained weights and is trained by the settings of
`once-for-all` on one thread; its ms are LiteRT's on this machine. A table like this one decided how a design chooses
space and side (`hwnas.designer.choices`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from common import show
from recipe import BATCH_SIZE, Recipe, part, started, train

from hwnas.designer.final import undisturbed_ms
from hwnas.devices.device import load_device
from hwnas.latency.measuring.model_files import network_model
from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD
from hwnas.spaces import get_space
from hwnas.train.child import ChildTrainer
from hwnas.train.data import load_data
from hwnas.train.evaluate import accuracy
from hwnas.train.loop import seeded

NETWORKS = (
    "lite:32:6:one,lite:64:6:one,lite:96:3:one,lite-5:48:4:all,lite-5:48:6:all,lite-5:64:6:one,lite-5:64:3:all,"
    "lite-5:64:4:all,lite-5:64:6:all,lite-5:80:6:one,lite-5:80:3:all,lite-5:96:6:one"
)


def trained_accuracy(
    folder: str, space_name: str, side: int, expand: int, depth: str, epochs: int, seed: int, limit_train: int | None
) -> float:
    """Test accuracy of the network fine-tuned alone."""
    normalisation = (IMAGENET_MEAN, IMAGENET_STD)
    data = load_data(
        folder,
        side,
        batch_size=BATCH_SIZE,
        augment="photo",
        seed=seed,
        limit_train=limit_train,
        normalisation=normalisation,
    )
    space = get_space(space_name, side, len(data.classes))
    architecture = part(space, expand, depth)
    with seeded(seed):
        start = started(architecture, space)
    trainer = ChildTrainer(architecture, data, epochs, seed, settings=Recipe().settings, start=start)
    return accuracy(train(trainer, Recipe(), data, epochs), data.test_batches())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit-train", type=int, help="use only so many training images")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, rows = load_device("local"), list[dict[str, Any]]()
    for name in options.networks.split(","):
        space, side, expand, depth = name.split(":")
        architecture = part(get_space(space, int(side)), int(expand), depth)
        ms, begun = undisturbed_ms(network_model(architecture, "tflite", "float32"), device, "litert"), time.time()
        task = (str(options.data), space, int(side), int(expand), depth, options.epochs)
        accuracies = [trained_accuracy(*task, seed, options.limit_train) for seed in range(options.seeds)]
        row = {"space": space, "side": int(side), "expansion": int(expand), "blocks a stage": depth, "ms": round(ms, 3)}
        row |= {"accuracy": round(mean(accuracies), 4), "by seed": accuracies, "seconds": round(time.time() - begun)}
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    show(f"parts of EfficientNet-Lite0 on {options.data.name}", rows, options.json)


if __name__ == "__main__":
    main()
