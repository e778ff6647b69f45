"""FakeInt8: what the int8 file of a network computes, in float and differentiably, for training to get used to it.

The exporter's scheme, tensor by tensor (`hwnas.exporter.tflite.int8`): batch norms are folded into the weights, which
are rounded per output channel and symmetrically; activations are rounded per tensor, to 256 steps between the smallest
and the largest value that they have on the calibration images in float. Rounding is PyTorch's own
``fake_quantize_per_*_affine``, through which gradients pass as if it were not there (straight-through, Bengio et al.,
arXiv 1308.3432; Jacob et al., arXiv 1712.05877), and not at all where a value is cut off.

PyTorch's ways to prepare a whole network for that (``torch.ao.quantization``, ``torchao``'s PT2E) place the rounding by
their own rules and average ranges over batches, and what they give is another module than the one that is exported.
Here the network's own parameters are what is trained, so that it is exported like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.errors import HwnasError
from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.execution import computed
from hwnas.exporter.graph.graph import Graph, Operator
from hwnas.exporter.graph.lower import lower

TRACED_INSIDE = ("conv2d", "linear")
"""Names of calls inside a layer of somebody's own, of which the last part of an operator's name is made."""

STEPS, WEIGHT_STEPS = 255, {"tflite": 127, "onnx": 64}
"""How many steps the range of an activation has, and the largest weight, by format (ONNX: 7 bits, `Int8Settings`)."""

SAME_STEPS = ("average_pool", "max_pool", "pad", "slice", "channel_shuffle", "flatten", "unflatten")
"""Operators whose output has the steps of their input."""

FIXED_RANGES = {"sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
"""By activation: those that TFLite's kernels prescribe."""

NARROWEST, AT_ONCE = 1e-9, 32
FOLDED = 1e-3
"""How far a weight may be off the one that its layer and batch norm give, relative to the largest."""

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A convolution or linear layer with its batch norm, as the one operator that a file has for both.

    Attributes:
        layer, norm: of the network; their parameters are what is trained. The norm's statistics stay as they are.
        factor: of the weight, for what else is folded into it, such as the sixth of a hard-swish.
        offset: of the bias, (out,), likewise.
    """

    layer: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None
    factor: float
    offset: Tensor

    @staticmethod
    def of(module: nn.Module, operator: Operator) -> FoldedLayer:
        """The layer that an operator of the module's Graph was made of. Raises HwnasError if that is not to be told."""
        layer, norm = _layer_and_norm(module, operator.name)
        assert operator.weight is not None and operator.bias is not None
        plain = FoldedLayer(layer, norm, 1.0, torch.zeros(len(operator.bias)))
        weight, bias = (part.detach() for part in plain.weight_and_bias())
        wanted = torch.from_numpy(operator.weight.astype("float32"))
        if wanted.shape != weight.shape:
            raise _unknown(operator)
        factor = float((wanted * weight).sum() / (weight * weight).sum().clamp_min(1e-30))
        if (wanted - factor * weight).abs().max() > FOLDED * wanted.abs().max():
            raise _unknown(operator)
        return FoldedLayer(layer, norm, factor, torch.from_numpy(operator.bias.astype("float32")) - bias)

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """As an operator has them, depending on the layer's parameters."""
        weight, bias = self.layer.weight, self.layer.bias
        if self.norm is None:
            return weight * self.factor, self.offset if bias is None else bias + self.offset
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        mean = norm.running_mean if bias is None else norm.running_mean - bias
        folded = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        return folded * self.factor, norm.bias - mean * scale + self.offset


class FakeInt8:
    """The int8 file of a network, in float: images (N, C, H, W) -> logits, differentiable by the network's parameters.

    Args:
        module: the network, on the CPU; it computes as in evaluation mode.
        input_shape: (N, C, H, W).
        format: of the file, ``tflite`` or ``onnx``.
        calibration: images (count, C, H, W) as the network takes them, which tell the ranges.

    Raises HwnasError for a network with an operator, or an order of layers, that is not known here.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...], format: str, calibration: Tensor) -> None:
        self._graph: Graph = decompose(lower(module, input_shape))
        self._weight_steps = WEIGHT_STEPS[format]
        self._layers = {op.name: FoldedLayer.of(module, op) for op in self._graph.operators if op.weight is not None}
        self._calibration = calibration
        self.ranges: dict[str, Range] = {}
        """Of the values of each tensor, by name."""
        self.calibrate()

    @torch.no_grad()
    def calibrate(self) -> None:
        """Take the ranges of the network as it is now, as an export of it would."""
        seen: dict[str, Range] = {}

        def see(name: str, value: Tensor) -> Tensor:
            low, high = seen.get(name, (0.0, 0.0))
            seen[name] = min(low, float(value.min())), max(high, float(value.max()))
            return value

        for start in range(0, len(self._calibration), AT_ONCE):
            self._run(self._calibration[start : start + AT_ONCE], see, rounded=False)
        for operator in self._graph.operators:
            if operator.kind in SAME_STEPS:
                seen[operator.output.name] = seen[operator.inputs[0].name]
            elif operator.activation in FIXED_RANGES:
                seen[operator.output.name] = FIXED_RANGES[operator.activation]
        self.ranges = seen

    def __call__(self, images: Tensor) -> Tensor:
        """The logits of the file, as far as float tells."""
        return self._run(images, self._rounded, rounded=True)

    def _run(self, images: Tensor, at_each: Callable[[str, Tensor], Tensor], rounded: bool) -> Tensor:
        """Compute the Graph; `at_each` gets every tensor's name and value, and gives what is computed on with."""
        graph = self._graph
        values = {graph.input.name: at_each(graph.input.name, images)}
        for operator in graph.operators:
            weight = bias = None
            if operator.name in self._layers:
                weight, bias = self._layers[operator.name].weight_and_bias()
                weight = self._rounded_weight(weight) if rounded else weight
            output = computed(operator, [values[tensor.name] for tensor in operator.inputs], weight, bias)
            values[operator.output.name] = at_each(operator.output.name, output)
        return values[graph.output.name]

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        low, high = self.ranges[name]
        scale = max(high - low, NARROWEST) / STEPS
        return torch.fake_quantize_per_tensor_affine(value, scale, round(-low / scale), 0, STEPS)

    def _rounded_weight(self, weight: Tensor) -> Tensor:
        most = self._weight_steps
        scale = weight.detach().abs().amax(tuple(range(1, weight.ndim))).clamp_min(NARROWEST) / most
        zeros = torch.zeros(len(weight), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -most, most)


def _own_path(module: nn.Module, path: str) -> str:
    """The path of the module whose call an operator is of: a layer that does more than PyTorch's own, such as to pad
    its input, is traced inside."""
    outer, _, call = path.rpartition(".")
    if call not in TRACED_INSIDE:
        return path
    with suppress(AttributeError):
        if isinstance(module.get_submodule(outer), nn.Conv2d | nn.Linear):
            return outer
    return path


def _layer_and_norm(module: nn.Module, path: str) -> tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]:
    """The layer at a path of the network, and the batch norm right behind it in its row, if there is one."""
    path = _own_path(module, path)
    try:
        layer = module.get_submodule(path)
        parent, _, own = path.rpartition(".")
        row = module.get_submodule(parent)
    except AttributeError:
        layer = row = module
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        raise HwnasError(f"the network has no layer {path!r} whose weights could be trained further.")
    norm = None
    if isinstance(row, nn.Sequential) and own.isdigit() and int(own) + 1 < len(row):
        following = row[int(own) + 1]
        norm = following if isinstance(following, nn.BatchNorm2d) else None
    return layer, norm


def _unknown(operator: Operator) -> HwnasError:
    return HwnasError(
        f"the layer {operator.name} of the exported network is made of more than a layer and the batch norm behind it, "
        "so that it cannot be trained further with rounding."
    )
