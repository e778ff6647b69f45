"""What a person would have picked: known networks scaled to the same budget, trained the same way, and compared.

A search is worth its time where what it finds is better than these. If one of them is, that is said, and its files are
written too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.child import ChildNetwork
from hwnas.networks.registry import get_network
from hwnas.networks.scaling import ScaledNetwork, scaled_to
from hwnas.pretrained import load_pretrained
from hwnas.space import Architecture
from hwnas.train.child import train_child
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import TrainingProgress, open_run

PLAIN, PRETRAINED = "plain-cnn", "efficientnet-lite0"

PLAIN_RESOLUTIONS = (32, 48, 64)
"""Of the plain network: the smaller the image, the more channels the budget leaves."""

PRETRAINED_RESOLUTIONS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224)
"""Of the pretrained network, which is as wide as it was trained: the largest that fits."""

FOLDER = "compared"


@dataclass(frozen=True)
class Rival:
    """A known network that was trained, its latency and its accuracies (shares from 0 to 1)."""

    network: str
    width: float
    resolution: int
    measured_ms: float
    val_accuracy: float
    accuracy: float
    params: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """How known networks are made comparable with what was found.

    Attributes:
        budget_ms: what they may take.
        measured_ms: the latency of an architecture on the device.
        data_at: the images at a resolution, split and augmented like those of the search.
        folder: holds a run for each.
        epochs, seed, torch_device, settings: of their training, as the search's.
        pretrained: the file of weights, or None for the package's; only with `starts_pretrained`.
        starts_pretrained: whether the search began with pretrained weights.
    """

    budget_ms: float
    measured_ms: Callable[[Architecture], float]
    data_at: Callable[[int], ImageData]
    folder: Path
    epochs: int
    seed: int
    torch_device: str
    settings: FineTuningSettings
    starts_pretrained: bool
    pretrained: str | None = None

    def candidates(self, num_classes: int) -> list[ScaledNetwork]:
        """The known networks within the budget: at each resolution as wide as fits; the pretrained one at its width."""
        found = scaled_to(PLAIN, self.budget_ms, self.measured_ms, PLAIN_RESOLUTIONS, num_classes)
        widest = sorted(found, key=lambda each: each.resolution)[-1:]
        if self.starts_pretrained:
            for resolution in reversed(PRETRAINED_RESOLUTIONS):
                network = get_network(PRETRAINED, 1.0, resolution, num_classes)
                ms = self.measured_ms(network)
                if ms <= self.budget_ms:
                    return [*widest, ScaledNetwork(PRETRAINED, 1.0, resolution, ms, network)]
        return widest

    def train(self, scaled: ScaledNetwork, progress: TrainingProgress | None) -> tuple[Rival, ChildNetwork]:
        """Train one of them and evaluate it. Goes on where it was stopped."""
        data = self.data_at(scaled.resolution)
        start = None
        if self.starts_pretrained and scaled.network == PRETRAINED:
            start = load_pretrained(scaled.architecture, self.pretrained)
        decided = {"network": scaled.network, "epochs": self.epochs, "seed": self.seed, "images": data.digest}
        decided |= {"settings": asdict(self.settings), "width": scaled.width, "resolution": scaled.resolution}
        run = open_run(self.folder / f"{scaled.network}-{scaled.width:g}-{scaled.resolution}px", decided)
        child = train_child(
            scaled.architecture, data, run, self.epochs, self.seed, progress, self.torch_device, self.settings, start
        )
        rival = Rival(
            scaled.network,
            scaled.width,
            scaled.resolution,
            scaled.ms,
            accuracy(child, data.val_batches()),
            accuracy(child, data.test_batches()),
            scaled.architecture.params,
        )
        return rival, child
