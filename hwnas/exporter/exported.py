"""The result of an export: one ExportedModel per file, and ``export.json``, which has all of it for other programs.

Nothing in there names a folder, a user, a machine or a time: equal networks and images give equal files.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.exporter.accuracy import LEAST_AGREEMENT, Accuracy
from hwnas.exporter.parity import Parity
from hwnas.exporter.sensitivity import LayerNoise
from hwnas.files import content_sha256, read_json, write_json
from hwnas.inspection.info import ModelInfo
from hwnas.run import package_versions

EXPORT_FILE, CARD_FILE = "export.json", "CARD.md"
EXPORT_VERSION = 1
"""Of the layout of ``export.json``: raised when a reader of the old one would misunderstand the new one."""

SAME_NETWORK = (
    "architecture",
    "weights_sha256",
    "input_shape",
    "output",
    "normalisation",
    "normalisation_inside",
    "classes",
)
"""Entries of ``export.json`` that are true of all its files."""

LEAST_SIGNAL_TO_NOISE_DB = 15.0
"""Below, the error of an output is a sixth of the output."""


@dataclass(frozen=True)
class ExportedModel:
    """A model file that was written, and how exactly it computes what the PyTorch module does.

    Args:
        format: ``tflite`` or ``onnx``.
        precision: Number format of weights and arithmetic.
        path: The file.
        bytes: Its size.
        max_relative_error: Largest ``max|difference| / max|output|`` against PyTorch, whole network and blocks.
        limit: The largest `max_relative_error` that passes; None where accuracy alone decides.
        parity: The errors one by one.
        info: The file as `hwnas inspect` reads it.
        accuracy: On the test images; None without images.
        loss_points: Percentage points that are lost against PyTorch.
        kept_float: Layers of an int8 file that compute in float32, or of a float16 file whose weights are float32.
        noisiest_layers: Of an int8 file that loses more than was allowed: worst first.
    """

    format: str
    precision: str
    path: Path
    bytes: int
    max_relative_error: float
    limit: float | None
    parity: Parity
    info: ModelInfo
    accuracy: Accuracy | None = None
    loss_points: float | None = None
    kept_float: tuple[str, ...] = ()
    noisiest_layers: tuple[LayerNoise, ...] = field(default=())

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", {self.accuracy.share:.1%} right"
        error = f"{self.max_relative_error:.1e} from PyTorch"
        return f"ExportedModel({self.path.name}, {self.bytes / 1024:,.1f} KiB, {error}{accuracy})"

    def loses_more_than(self, max_loss: float) -> bool:
        """Whether it gets more than `max_loss` percentage points fewer of the test images right than PyTorch."""
        return self.loss_points is not None and self.loss_points > max_loss

    @property
    def disagrees(self) -> bool:
        """Whether it is a rounded file that gives too many test images another class than PyTorch."""
        return self.limit is None and self.accuracy is not None and self.accuracy.disagrees

    @property
    def rounding_warnings(self) -> tuple[str, ...]:
        """Sentences on the harm that rounding did to it; none if there is little."""
        found = []
        if self.disagrees and self.accuracy is not None:
            found.append(
                f"It is not the network that was trained: {self.accuracy.agrees} of {self.accuracy.images} test images "
                f"get PyTorch's class ({self.accuracy.agreement:.0%}, expected {LEAST_AGREEMENT:.0%} or more)."
            )
        if self.limit is None and self.parity.signal_to_noise_db < LEAST_SIGNAL_TO_NOISE_DB:
            found.append(
                f"Its outputs are noisy: {self.parity.signal_to_noise_db:.0f} dB of signal to noise against PyTorch, "
                f"expected {LEAST_SIGNAL_TO_NOISE_DB:.0f} or more."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """JSON values; ``path`` is the name of the file alone."""
        (source,), (result,) = self.info.inputs, self.info.outputs
        preprocessing = self.info.metadata.preprocessing
        return {
            "format": self.format,
            "precision": self.precision,
            "path": self.path.name,
            "bytes": self.bytes,
            "sha256": self.info.sha256,
            "input": asdict(source),
            "output": asdict(result),
            "preprocessing": None if preprocessing is None else preprocessing.to_json(),
            "max_relative_error": self.max_relative_error,
            "limit": self.limit,
            "parity": asdict(self.parity),
            "macs": self.info.macs,
            "parameters": self.info.parameters,
            "is_lower_bound": self.info.is_lower_bound,
            "peak_activation_bytes": self.info.peak_activation_bytes,
            "operators": self.info.histogram,
            "transposes": self.info.transposes,
            "partitions": self.info.execution.partitions,
            "outside_partitions": len(self.info.execution.outside),
            "executed_by": self.info.execution.runtime,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "loss_points": self.loss_points,
            "kept_float": list(self.kept_float),
            "noisiest_layers": [asdict(layer) for layer in self.noisiest_layers],
            "warnings": [*self.rounding_warnings, *self.info.warnings],
        }


def write_export_json(folder: Path, models: Sequence[ExportedModel], about: dict[str, Any]) -> None:
    """Write ``export.json`` beside the files: `about` the network and its images, and every file.

    Files of an earlier export of the same network that lie there as they were keep their entries.
    """
    packages = ("ai-edge-quantizer", "tflite-runtime", "onnx")
    earlier, kept = _still_there(folder, {model.path.name for model in models}, json.loads(json.dumps(about)))
    _say_what_is_dropped(folder, {file["path"] for file in kept} | {model.path.name for model in models})
    about = about | {name: earlier.get(name) for name in ("calibration", "pytorch") if kept and about.get(name) is None}
    files = [*(model.to_json() for model in models), *kept]
    document = {"format_version": EXPORT_VERSION, **about, "files": files}
    write_json(folder / EXPORT_FILE, document | {"versions": package_versions(packages)})


def _still_there(folder: Path, new: set[str], about: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The ``export.json`` that is there, and those of its files that are of the same network and are as they were."""
    with suppress(HwnasError, KeyError, TypeError):
        earlier = read_json(folder / EXPORT_FILE, "the export")
        earlier.setdefault("weights_sha256", about["weights_sha256"])  # files of earlier versions do not tell
        same = earlier["format_version"] == EXPORT_VERSION and about["architecture"] is not None
        on_the_same_images = None in (earlier["pytorch"], about["pytorch"]) or earlier["pytorch"] == about["pytorch"]
        if same and on_the_same_images and all(earlier[name] == about[name] for name in SAME_NETWORK):
            # what they were made with stays theirs: the document's own entries are those of the newest files
            own = {name: earlier.get(name) for name in ("calibration", "options")}
            files = [own | file for file in earlier["files"] if file["path"] not in new]
            return earlier, [file for file in files if _is_as_it_was(folder, file)]
    return {}, []


def _say_what_is_dropped(folder: Path, listed: set[str]) -> None:
    """Name model files of an earlier export that are there and will be listed no more: they are of something else."""
    with suppress(HwnasError, KeyError, TypeError):
        earlier = read_json(folder / EXPORT_FILE, "the export")
        names = [file["path"] for file in earlier["files"] if file["path"] not in listed]
        if there := [name for name in names if (folder / Path(name).name).is_file()]:
            logging.getLogger(__name__).warning(
                "%s in %s stay as they are, and leave its %s: they are of other weights, inputs, outputs or images "
                "than the new files. With --out, these get a folder of their own.",
                ", ".join(there),
                folder,
                EXPORT_FILE,
            )


def _is_as_it_was(folder: Path, file: dict[str, Any]) -> bool:
    path = folder / Path(file["path"]).name
    return path.is_file() and content_sha256(path) == file["sha256"]
