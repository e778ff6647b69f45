"""The loop that every network is trained in: steps, log, checkpoints; stopped anywhere, it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.errors import HwnasError
from hwnas.random_state import own_random_state
from hwnas.run import Run
from hwnas.train.checkpoint import load_newest, save_checkpoint
from hwnas.train.data import ImageData
from hwnas.train.distributed import check_shares, from_first, rank, share
from hwnas.train.threads import settle_threads

TrainingProgress = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, the newest figures)."""

CHECKPOINT_FILE = "checkpoint.pt"
CHECKPOINT_SECONDS = 15.0
"""How much work a crash may cost, by default."""


class Trainer(Protocol):
    """The state of a training and its step. Everything that decides the next step is in `state_dict`."""

    step_count: int
    total_steps: int

    @property
    def net(self) -> nn.Module: ...

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update for images (N, C, H, W) and labels (N,); returns the figures to log."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def open_run(folder: Path | str, config: dict[str, Any]) -> Run:
    """A run that the first process alone opens, writes and reads. Raises HwnasError as `Run`."""
    opened: list[Run] = []
    from_first(lambda: opened.append(Run(folder, config)))
    return opened[0] if opened else Run.of_another_process(folder, config)


def train(
    trainer: Trainer,
    data: ImageData,
    run: Run,
    progress: TrainingProgress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Make all steps of a trainer that are not made yet. Goes on from the run's checkpoint as if it had never stopped.

    Of several processes each takes its share of every batch, and the first one alone reads and writes the run.

    Raises:
        UsageError: a batch is too small for as many processes as there are.
        HwnasError: the checkpoint is damaged or of another training, the training diverged, or the disk is full.
    """
    check_shares(min(data.batch_size, data.counts["train"]))
    checkpoint = run.folder / CHECKPOINT_FILE
    state = from_first(lambda: load_newest(checkpoint))
    if state is not None:
        resume(trainer, checkpoint, state)
    writes = rank() == 0
    if writes:
        run.rewind(trainer.step_count)
    saved_at = time.monotonic()
    trainer.net.train()
    device = next(trainer.net.parameters()).device
    if from_first(lambda: data.digest) != data.digest:
        raise HwnasError(
            "the processes of this training do not have the same images: copy the same folder to every machine, and "
            "leave each enough memory to decode the largest picture."
        )
    settle_threads(trainer, lambda: _shares(next(data.train_batches(0, torch_device=device))))
    while trainer.step_count < trainer.total_steps:
        epoch, start_step = divmod(trainer.step_count, data.steps_per_epoch)
        for images, labels in data.train_batches(epoch, start_step, device):
            figures = trainer.step(share(images), share(labels))
            last = trainer.step_count == trainer.total_steps
            saves = last or time.monotonic() - saved_at > checkpoint_seconds
            if saves or not math.isfinite(figures.get("loss", 0.0)):
                _check_finite(trainer)
            if writes:
                run.log({"step": trainer.step_count, "epoch": epoch, **figures})
                if progress is not None:
                    progress(trainer.step_count, trainer.total_steps, figures)
                if saves:
                    run.sync()
                    save_checkpoint(checkpoint, trainer.state_dict())
                    saved_at = time.monotonic()
            if last:  # perhaps in the middle of an epoch
                break


def _check_finite(trainer: Trainer) -> None:
    """Raise HwnasError where weights are numbers no more, before they are saved. A step that overflowed in float16 and
    was left out has not changed them."""
    if not all(parameter.isfinite().all() for parameter in trainer.net.parameters()):
        raise HwnasError(
            f"the training diverged before step {trainer.step_count} of {trainer.total_steps}: its weights are not "
            "finite any more. Begin another run with a lower learning rate (the setting lr), or with a limit on the "
            "norm of gradients (clip_norm)."
        )


def _shares(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    images, labels = batch
    return share(images), share(labels)


def step_generator(seed: int, step: int, draw: int = 0) -> torch.Generator:
    """The random numbers of one step on this rank: the same when the step is repeated after a stop.

    Args:
        draw: 0, 1, ... for numbers of the same step that do not depend on each other.
    """
    mixed = np.random.SeedSequence([seed, step, rank(), draw]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed))


@contextmanager
def seeded(seed: int, step: int | None = None) -> Iterator[None]:
    """Torch's global random numbers tied to a seed, and to a step of a training if one is named; put back after.

    Initial weights and dropout draw from them, and a step that is repeated after a stop must draw the same.
    """
    with own_random_state(seed if step is None else (seed * 1_000_003 + step) % 2**63):
        yield


def resume(trainer: Trainer, checkpoint: Path, state: dict[str, Any]) -> None:
    """Put a trainer where `checkpoint`, which holds `state`, was taken. Raises HwnasError if it is of another one."""
    try:
        trainer.load_state_dict(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise HwnasError(
            f"the checkpoint {checkpoint} is not one of this search ({error}). Delete it to start the run again from "
            "its first step."
        ) from error
