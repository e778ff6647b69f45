"""Where rounding to int8 costs a design more than it may, the network is fine-tuned with fake quantisation."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from hwnas.child import ChildNetwork, weights_checksum
from hwnas.designer.result import Int8FineTuning
from hwnas.designer.task import Task
from hwnas.exporter.export import ExportOptions
from hwnas.runners import runtime_format
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy
from hwnas.train.int8_finetuning import SETTINGS, NotFineTunable, fine_tune_for_int8
from hwnas.train.loop import TrainingProgress, open_run

LOG = logging.getLogger(__name__)

USUAL_MAX_LOSS = ExportOptions().max_loss
"""In points of accuracy on the validation images."""
ROUNDING = 1e-9
"""Of a difference of two shares, in points."""
FINE_TUNED_FOLDER = "fine-tuned"
SHARE_OF_EPOCHS, LEAST_EPOCHS = 0.2, 4
"""How long is fine-tuned: so much of the design's epochs, and not less."""


def suited_to_int8(
    task: Task, child: ChildNetwork, data: ImageData, folder: Path, on_step: TrainingProgress
) -> tuple[ChildNetwork, Int8FineTuning | None]:
    """The network that an int8 design goes on with: fine-tuned, if its file loses more than the design allows.

    In several processes all of them must call it. A network that cannot be fine-tuned is left as it is, which is said.

    Args:
        task: what is designed; nothing is done but for int8.
        child: trained.
        data: at its resolution.
        folder: of the fine-tuning's run, if there is one.
        on_step: called after each step.
    """
    if task.precision != "int8":
        return child, None
    most = USUAL_MAX_LOSS if task.config.int8_max_loss is None else task.config.int8_max_loss
    in_float, before = distributed.from_first(lambda: _accuracies(task, child, data))
    if not 100 * (in_float - before) > most + ROUNDING:
        return child, None
    epochs = max(LEAST_EPOCHS, round(SHARE_OF_EPOCHS * (task.config.epochs or 0)))
    # not the statistics of its norms, which other processors compute with other last digits
    weights = weights_checksum(dict(child.named_parameters()))
    decided = {"fine_tuned": weights, "images": data.digest, "settings": asdict(SETTINGS)}
    try:
        run = open_run(folder, decided | {"epochs": epochs, "format": runtime_format(task.runtime)})
        tuned = fine_tune_for_int8(child, data, runtime_format(task.runtime), run, epochs, on_step)
    except NotFineTunable as error:
        LOG.warning("not fine-tuned for int8: %s", error)
        return child, None
    after = distributed.from_first(lambda: _accuracies(task, tuned, data)[1])
    found = Int8FineTuning(in_float, before, after, epochs, kept=after > before)
    if distributed.rank() == 0:
        LOG.info("%s", found)
    return (tuned if found.kept else child), found


def _accuracies(task: Task, child: ChildNetwork, data: ImageData) -> tuple[float, float]:
    """On the validation images: of the network, and of its int8 file."""
    return accuracy(child, data.val_batches()), accuracy(task.judged(child, data), data.val_batches())
