"""What an exported file says of itself, so that an app needs nothing else: input, normalisation, labels, output."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hwnas.exporter.images import Preprocessing, check_class_names


@dataclass(frozen=True)
class ModelMetadata:
    """What goes in and what comes out of a classifier.

    Args:
        image_size: (height, width) in pixels.
        preprocessing: What the app has to do to pixels, as float32; None: it was not told.
        uint8_input: Whether pixels go in as they are, uint8; the normalisation is inside then.
        classes: Name of each output; () if they are not known.
        softmax: Whether the scores are probabilities; logits otherwise.
    """

    image_size: tuple[int, int]
    preprocessing: Preprocessing | None
    uint8_input: bool = False
    classes: tuple[str, ...] = ()
    softmax: bool = False

    def __post_init__(self) -> None:
        check_class_names(self.classes)

    @property
    def labels(self) -> str:
        """The classes, one per line."""
        return "".join(f"{name}\n" for name in self.classes)

    @property
    def pixel_mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """(mean, std) that an app applies, (pixel - mean) / std with pixels in 0..255; None: not told."""
        if self.uint8_input:
            return (0.0,), (1.0,)
        if self.preprocessing is None:
            return None
        mean, std = (tuple(255 * x for x in values) for values in (self.preprocessing.mean, self.preprocessing.std))
        return mean, std

    @property
    def output_text(self) -> str:
        return "probability of each class" if self.softmax else "logit of each class"


def onnx_with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """The .onnx file with `metadata` in its ``metadata_props``: ``labels`` (one per line), ``mean`` and ``std`` (JSON,
    for pixels in 0..255), ``color_order``, ``output``."""
    import onnx

    file = onnx.load_model_from_string(model)
    entries = {entry.key: entry.value for entry in file.metadata_props}
    entries |= {"color_order": "RGB", "output": "probabilities" if metadata.softmax else "logits"}
    if metadata.classes:
        entries["labels"] = metadata.labels
    if (normalisation := metadata.pixel_mean_and_std) is not None:
        entries |= {"mean": json.dumps(normalisation[0]), "std": json.dumps(normalisation[1])}
    del file.metadata_props[:]  # set_model_props appends
    onnx.helper.set_model_props(file, dict(sorted(entries.items())))
    return file.SerializeToString(deterministic=True)
