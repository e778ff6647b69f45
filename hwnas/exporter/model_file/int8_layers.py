"""The convolutions and linear layers of an int8 file, read back from it: are their scales such that they compute right?

Such a layer adds up integers: products of the input's and the weight's, and the bias. The bias is counted in the steps
of the products, ``bias_scale = input_scale * weight_scale`` (https://ai.google.dev/edge/litert/conversion/tensorflow/
quantization/quantization_spec), and has to fit into int32 so. A filter that training or pruning left at nearly nothing
would by its own size get steps so small that its bias does not fit: quantisers cut it off without a word. Larger steps
cost such a filter nothing: what its weights add to its bias is less than anyone can see in 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError

LARGEST_BIAS = 2**30
"""Half of int32's range; the other half is for the products."""

LEAST_MULTIPLIER = 2.0**-28
"""Steps of the sum in steps of the output, at least; XNNPACK leaves layers below 2^-32 to slower kernels."""

ROUNDING = 1e-5
"""How far a product of scales may be off, relative to it: scales are float32."""


@dataclass(frozen=True, eq=False)
class Scales:
    """The value of one step of a layer's integers: a value is ``scale * (stored - zero point)``.

    Args:
        input: Of its input.
        weight: Of its weight: one for each output, or one for all.
        bias: Of its bias: the same.
        output: Of its output; None: no kernel depends on it.
    """

    input: float
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    output: float | None = None

    def least_weight_scale(self, bias: NDArray[Any] | None) -> NDArray[np.float64]:
        """The smallest scales of the weight, as many as it has, with which `bias` (float32) fits into int32."""
        least = np.zeros(self.weight.shape)
        if bias is not None:
            least = np.maximum(least, np.abs(bias.astype(np.float64)) / (self.input * LARGEST_BIAS))
        if self.output is not None:
            least = np.maximum(least, self.output * LEAST_MULTIPLIER / self.input)
        return least.max(keepdims=True) if self.weight.size == 1 else least


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A convolution or linear layer as a file has it.

    Args:
        name: Of the layer, or of its weight.
        weight: Name of the weight in the file.
        bias: As stored, (out,): int32, or float32 where it computes in float; None: it has none.
        scales: Of its integers; None: it computes in float.
    """

    name: str
    weight: str
    bias: NDArray[Any] | None
    scales: Scales | None

    def check(self, bias: NDArray[Any] | None) -> None:
        """Raise HwnasError unless the stored bias means `bias` (float32), in steps that the layer's sum has too."""
        assert self.scales is not None
        found = np.array([self.scales.input, *self.scales.weight, *self.scales.bias])
        if not np.isfinite(found).all() or found.min() <= 0:
            raise self._error(f"has scales from {found.min():.3g} to {found.max():.3g}, which must be positive")
        if self.bias is None or bias is None:
            return
        product = self.scales.input * self.scales.weight
        if not np.allclose(self.scales.bias, product, rtol=ROUNDING, atol=0):
            raise self._error("counts its bias in other steps than its products (input scale x weight scale)")
        stored = self.bias.astype(np.float64)
        largest = float(np.abs(stored).max(initial=0))
        if largest > LARGEST_BIAS * (1 + ROUNDING):
            raise self._error(f"stores a bias of {largest:.0f} steps, of which int32 has room for {LARGEST_BIAS}")
        off = np.abs(stored * self.scales.bias - bias)
        if (off > self.scales.bias + ROUNDING * np.abs(bias)).any():
            raise self._error(f"stores a bias that is {off.max():.3g} off the network's")

    def _error(self, what: str) -> HwnasError:
        return HwnasError(
            f"int8: the layer {self.name} {what}, so that the file would compute something else. Nothing was exported. "
            f"Keep the layer in float (--keep-float {self.name}), and report this with the network."
        )


class CheckedLayers:
    """Sees to it that the layers of int8 files have scales that their biases fit into, and says so if they do not.

    Args:
        read: File -> its convolutions and linear layers, in an order that the float file has too.
        model: The float file.
    """

    def __init__(self, read: Callable[[bytes], list[StoredLayer]], model: bytes) -> None:
        self._read, self._floats = read, read(model)
        self._raised: dict[str, NDArray[np.float64]] = {}

    def checked(self, quantized: Callable[[dict[str, NDArray[np.float64]]], bytes]) -> bytes:
        """The file that `quantized` makes, given larger scales for the weights, by name, that need them; most networks
        have none. Raises HwnasError if a layer would add another bias than the network's."""
        model = quantized(self._raised)
        pairs = self._int8_layers(model)
        if self._raise_scales(pairs):
            model = quantized(self._raised)
            pairs = self._int8_layers(model)
        for layer, original in pairs:
            layer.check(original.bias)
        return model

    def _raise_scales(self, pairs: Sequence[tuple[StoredLayer, StoredLayer]]) -> bool:
        """Note larger scales for the weights whose own are too small; returns whether there are any."""
        found = False
        for layer, original in pairs:
            assert layer.scales is not None
            known = self._raised.get(original.weight, layer.scales.weight)
            least = layer.scales.least_weight_scale(original.bias)
            if (least > known * (1 + ROUNDING)).any():
                found = True
                self._raised[original.weight] = np.maximum(least, known)
        return found

    def _int8_layers(self, model: bytes) -> list[tuple[StoredLayer, StoredLayer]]:
        """The layers of an int8 file that compute in integers, each with its layer in the float file."""
        layers = self._read(model)
        if len(layers) != len(self._floats):
            raise HwnasError(
                f"int8: the quantiser made {len(layers)} convolutions and linear layers of {len(self._floats)}. "
                "Nothing was exported; report this with the network."
            )
        return [pair for pair in zip(layers, self._floats, strict=True) if pair[0].scales is not None]
