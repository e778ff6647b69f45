"""Precisions: the number formats a network is exported in, what each changes, and how far it may stray from PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.errors import UsageError, unknown_name

LIMIT = 1e-5
"""Largest relative error that passes in float32: about ten times what rounding makes of a 50-layer network."""


@dataclass(frozen=True)
class Precision:
    """A number format of weights and arithmetic.

    Args:
        name: As people type it; also the middle of the file name, except for float32.
        limit: Largest relative error against PyTorch that passes; None: accuracy alone decides.
        needs_images: Whether activations are rounded too, for which their ranges must be seen on images.
    """

    name: str
    limit: float | None
    needs_images: bool = False

    def file_name(self, format: str) -> str:
        """``model.tflite``, ``model.int8.onnx`` ..."""
        return f"model.{format}" if self.name == "float32" else f"model.{self.name}.{format}"


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", LIMIT),
        # rounding every weight to 11 bits changes MobileNetV2 by 4e-4; where it changes a network by more than this,
        # the layers that stray most keep float32 weights
        Precision("float16", 2e-3),
        Precision("int8", None, needs_images=True),
        Precision("int8-weights", None),
    )
}
"""Every precision by name: float16 and int8-weights store smaller weights and compute in float32; int8 computes in
integers throughout."""

_REFUSED = ("dynamic", "dynamic-range", "int8-dynamic")


def get_precision(name: str) -> Precision:
    """The precision called `name`. Raises UsageError for one that does not exist, or that hwnas refuses to write."""
    if name in _REFUSED:
        raise UsageError(
            f"hwnas does not export {name!r} (int8 weights, activations rounded anew in each inference): "
            "tflite-runtime 2.14 computes whole networks of that kind wrongly without a word, and LiteRT runs them "
            "slower than float32. Use int8 (with images to calibrate on), or int8-weights for the smaller file alone."
        )
    if name not in PRECISIONS:
        raise unknown_name("precision", name, list(PRECISIONS))
    return PRECISIONS[name]
