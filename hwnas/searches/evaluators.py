"""Evaluators: by inherited weights, by training, by a table; and the record that keeps what they found."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from hwnas.child import ChildNetwork, weights_checksum
from hwnas.errors import UsageError
from hwnas.files import write_atomically
from hwnas.foreign import checked
from hwnas.random_state import own_random_state
from hwnas.records import append_record, read_records, record_line
from hwnas.searches.contracts import CompareBy, Evaluation, EvaluationKind, Evaluator
from hwnas.space import Architecture
from hwnas.supernet.network import SuperNetwork
from hwnas.train.child import train_child
from hwnas.train.data import ImageData
from hwnas.train.evaluate import Batches, accuracy_and_loss, recalibrate_batch_norm
from hwnas.train.loop import TrainingProgress, open_run, seeded
from hwnas.train.mixed_precision import Amp
from hwnas.train.weights import WeightSettings

EVALUATIONS_FILE, INHERITED_FILE = "evaluations.jsonl", "evaluations-{}.jsonl"
"""What keeps evaluations: of children that are trained; of those that inherit the weights of this digest."""
RECALIBRATION_IMAGES = 4096
"""Statistics of so many training images: as many as 16 batches of 256, however small the batches are."""
MOST_KEPT_BYTES = 2**30
"""Of images that are evaluated on again and again, each for the statistics and for the validation."""


class InheritedEvaluator:
    """Validation accuracy of children with inherited weights and batch-norm statistics of their own.

    All children are evaluated on the same images: the same training batches recalibrate each, the validation split, cut
    out of the training images, scores it. Test images are never read.

    Args:
        net: whose weights are inherited.
        data: the images.
        recalibration: training images for the statistics, in whole batches; all where there are fewer.
        validation: how many of the validation images, in whole batches; None: all.
    """

    kind: EvaluationKind = "inherited"

    def __init__(
        self,
        net: SuperNetwork,
        data: ImageData,
        torch_device: str = "cpu",
        recalibration: int = RECALIBRATION_IMAGES,
        validation: int | None = None,
    ) -> None:
        self._net, self._device = net, torch_device
        size, counts = data.batch_size, data.counts
        batches = min(math.ceil(recalibration / size), data.steps_per_epoch)
        limit = math.ceil(min(validation or counts["val"], counts["val"]) / size)
        self._recalibration = KeptBatches(lambda: islice(data.train_batches(epoch=0), batches))
        self._validation = KeptBatches(lambda: islice(data.val_batches(), limit))
        self.images = min(batches * size, counts["train"]) + min(limit * size, counts["val"])
        """That run through the network for each evaluation."""

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        if epochs:
            raise UsageError(f"inherited weights are not trained further; ask for 0 epochs, not {epochs}.")
        with own_random_state():  # a new module draws weights, which the inherited ones replace
            child = self._net.inherit(architecture)
        child = child.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate_batch_norm(child, self._recalibration, limit=sys.maxsize)
        found, loss = accuracy_and_loss(child, self._validation)
        known = loss if math.isfinite(loss) else None
        return Evaluation(architecture, self.kind, accuracy=found, loss=known, images=self.images)


def weights_digest(net: SuperNetwork) -> str:
    """SHA-256 of everything that a child could inherit."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


class TrainedEvaluator:
    """Validation accuracy of children that are trained by themselves, each in a run folder of its own.

    Args:
        data: its training split trains, its validation split evaluates.
        folder: holds the run folders; a training that was stopped goes on.
        seed: of weights and the order of the images.
        settings: of the weights; None: the defaults.
        start: whose weights the children begin with; None: random ones.
        progress: called after each step of a training with (steps done, steps in all, figures).
        amp: what forward passes compute in.
    """

    kind: EvaluationKind = "trained"

    def __init__(
        self,
        data: ImageData,
        folder: Path | str,
        seed: int = 0,
        torch_device: str = "cpu",
        settings: WeightSettings | None = None,
        start: SuperNetwork | None = None,
        progress: TrainingProgress | None = None,
        amp: Amp = "off",
    ) -> None:
        self._data, self._folder = data, Path(folder)
        self._amp = amp
        self._seed, self._device = seed, torch_device
        self._settings, self._start, self._progress = settings, start, progress

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        child = self.child(architecture, epochs)
        images = epochs * self._data.counts["train"] + self._data.counts["val"]
        found, loss = accuracy_and_loss(child, self._data.val_batches())
        known = loss if math.isfinite(loss) else None
        return Evaluation(architecture, self.kind, accuracy=found, loss=known, epochs=epochs, images=images)

    def child(self, architecture: Architecture, epochs: int) -> ChildNetwork:
        """The child after so many epochs, trained now or before."""
        if epochs < 1:
            raise UsageError(f"a network is trained for 1 epoch or more, not {epochs}; say for how many.")
        decided: dict[str, Any] = {"architecture": architecture.digest, "epochs": epochs, "seed": self._seed}
        decided |= {"images": self._data.digest, "batch_size": self._data.batch_size, **self._data.unusual}
        if self._settings is not None:
            decided |= {"settings": asdict(self._settings)}
        start = None
        if self._start is not None:
            with seeded(self._seed):  # a new module draws weights, which the inherited ones replace
                start = self._start.inherit(architecture)
            decided |= {"start": weights_checksum(start.state_dict())}
        run = open_run(self._folder / f"{architecture.digest[:12]}-{epochs}", decided)
        how = self._settings, start, self._amp
        return train_child(architecture, self._data, run, epochs, self._seed, self._progress, self._device, *how)


class LookedUpEvaluator:
    """Accuracy (0 to 1) as a table has it, such as a published benchmark's.

    Args:
        accuracy_of: the look-up.
    """

    kind: EvaluationKind = "looked-up"

    def __init__(self, accuracy_of: Callable[[Architecture], float]) -> None:
        self._accuracy_of = accuracy_of

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        return Evaluation(architecture, self.kind, accuracy=self._accuracy_of(architecture), epochs=epochs)


class RecordedEvaluator:
    """An Evaluator that evaluates each network once, and keeps the Evaluation in a file: a search goes on behind it.

    Args:
        evaluator: what is asked.
        folder: the run's; the record is its ``evaluations.jsonl``, one line per network, kind and fidelity. None:
            nothing is kept.
        name: of the record, where it is another.
        by: what its evaluations are compared by.

    Attributes:
        evaluations: of everything that was asked for since this object was made.

    Raises:
        HwnasError: the record is damaged.
    """

    def __init__(
        self, evaluator: Evaluator, folder: Path | None, name: str = EVALUATIONS_FILE, by: CompareBy = "accuracy"
    ) -> None:
        self._evaluator, self._path, self._by = evaluator, None if folder is None else folder / name, by
        self._known = self._read()
        self.evaluations: dict[Architecture, Evaluation] = {}

    @property
    def kind(self) -> EvaluationKind:
        return self._evaluator.kind

    @property
    def networks(self) -> int:
        """How many different networks were asked for: codes of one network count once."""
        return len({architecture.digest for architecture in self.evaluations})

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        key = (architecture.digest, self.kind, epochs)
        if key not in self._known:
            self._known[key] = _Record.of(self._evaluator(architecture, epochs))
            if self._path is not None:
                append_record(self._path, self._known[key].model_dump(exclude_none=True))
        self.evaluations[architecture] = replace(self._known[key].evaluation(architecture), by=self._by)
        return self.evaluations[architecture]

    def _read(self) -> dict[tuple[str, EvaluationKind, int], _Record]:
        path = self._path
        if path is None or not path.exists():
            return {}
        records = read_records(path)
        # without a last line that was cut off: it is evaluated again, and the next one begins a line of its own
        text = "".join(record_line(record) for record in records)
        write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
        cure = "delete it to have the children evaluated again; the trained weights are not affected"
        found = [
            checked(_Record, record, f"{path}, record {number}, is damaged", cure)
            for number, record in enumerate(records, start=1)
        ]
        return {(record.digest, record.kind, record.epochs): record for record in found}


class _Record(BaseModel):
    """A line of the record. Those of earlier versions hold digest and accuracy only."""

    digest: str
    accuracy: float | None = Field(None, ge=0, le=1)
    loss: float | None = Field(None, allow_inf_nan=False)
    kind: EvaluationKind = "inherited"
    epochs: int = Field(0, ge=0)
    images: int = Field(0, ge=0)

    @staticmethod
    def of(found: Evaluation) -> _Record:
        return _Record.model_construct(
            digest=found.architecture.digest,
            accuracy=found.accuracy,
            loss=found.loss,
            kind=found.kind,
            epochs=found.epochs,
            images=found.images,
        )

    def evaluation(self, architecture: Architecture) -> Evaluation:
        return Evaluation(architecture, self.kind, self.accuracy, self.loss, self.epochs, self.images)


class KeptBatches:
    """Batches that can be run through again and again, in the layout that convolutions are twice as fast in.

    They are kept in memory up to `MOST_KEPT_BYTES`, and made anew each time beyond that.

    Args:
        batches: makes them.
    """

    def __init__(self, batches: Callable[[], Batches]) -> None:
        self._batches = batches
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = [], 0
        for images, labels in self._batches():
            batch = images.contiguous(memory_format=torch.channels_last), labels
            size += images.nbytes
            if size <= MOST_KEPT_BYTES:
                kept.append(batch)
            yield batch
        if size <= MOST_KEPT_BYTES:
            self._kept = kept
