"""The evaluation of finished files on the user's images: accuracy, the layers that int8 hurts, and their repair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.accuracy import Accuracy, accuracies
from hwnas.exporter.exporter import Exporter, ExportProgress, FileDraft
from hwnas.exporter.images import ExportImages, LabelledPixels
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.sensitivity import LayerNoise, fewest_in_float, layer_noise

NOISE_IMAGES = 16
"""How many of the calibration images show the noise of each layer."""


class Evaluation:
    """Evaluates the files of one Exporter.

    Args:
        exporter: That made them, with the same images.
        images: The user's, with a test split.
        progress: Told what is going on.
    """

    def __init__(self, exporter: Exporter, images: ExportImages, progress: ExportProgress) -> None:
        self._exporter, self._images, self._progress = exporter, images, progress

    def evaluate(self, files: Sequence[FileDraft], max_loss: float | None, repair: bool) -> Accuracy:
        """Give every file its accuracy on the test images, and an int8 file that loses more than `max_loss` points, or
        gives too many images another class than PyTorch, the list of its worst layers; with `repair`, keep the fewest
        of these in float that make it accurate enough. Without `max_loss`, accuracy alone.

        Returns PyTorch's accuracy. The layers are chosen by validation images, never by the test images.
        """
        models = {str(number): self._exporter.model(file.format, file.data) for number, file in enumerate(files)}
        reference, *found = accuracies(self._exporter.pytorch, models, self._counted(self._images.test, "accuracy"))
        for file, accuracy in zip(files, found, strict=True):
            file.accuracy, file.loss_points = accuracy, accuracy.loss_points(reference)
            if max_loss is None or not file.precision.needs_images:
                continue
            if file.loss_points > max_loss or accuracy.disagrees:
                file.noisiest_layers = tuple(self._noise(file.format))
                if repair:
                    self._repair(file, max_loss)
        return reference

    def _noise(self, format: Format) -> list[LayerNoise]:
        exporter, pixels = self._exporter, self._images.calibration.pixels[:NOISE_IMAGES]

        def outputs(model: bytes) -> NDArray[np.float32]:
            return exporter.model(format, exporter.finished(format, model))(pixels)

        def progress(done: int, total: int) -> None:
            self._progress(f"{format.name} layers", done, total, "int8 one at a time")

        graph, expected = exporter.target.int8_graph, exporter.pytorch(pixels)
        return layer_noise(graph, exporter.quantizer(format), outputs, expected, progress)

    def _repair(self, file: FileDraft, max_loss: float) -> None:
        """Keep the fewest of the worst layers in float that bring the file within `max_loss` on validation images."""
        exporter, images, tried = self._exporter, self._images, 0

        def is_accurate(names: Sequence[str]) -> bool:
            nonlocal tried
            tried += 1
            self._progress(f"{file.format.name} repair", tried, tried + 1, f"{len(names)} layers in float")
            models = {"int8": exporter.model(file.format, exporter.int8_file(file.format, names))}
            reference, accuracy = accuracies(exporter.pytorch, models, images.validation)
            return accuracy.loss_points(reference) <= max_loss and not accuracy.disagrees

        chosen = fewest_in_float(file.noisiest_layers, is_accurate)
        self._progress(f"{file.format.name} repair", tried, tried, f"{len(chosen)} layers in float")
        file.data = exporter.int8_file(file.format, chosen)
        file.kept_float = tuple(dict.fromkeys([*exporter.always_float, *chosen]))
        file.parity = exporter.parity(file.format, file.precision, file.data)
        models = {"int8": exporter.model(file.format, file.data)}
        reference, file.accuracy = accuracies(exporter.pytorch, models, images.test)
        file.loss_points = file.accuracy.loss_points(reference)

    def _counted(self, batches: LabelledPixels, stage: str) -> LabelledPixels:
        """The same batches; the progress is told of each as it passes."""
        done = 0
        for pixels, labels in batches:
            yield pixels, labels
            done += len(labels)
            self._progress(stage, done, done, "test images")
