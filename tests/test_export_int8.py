"""int8 computes what the network does where training left little: filters of nothing, layers that are always zero."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import HwnasError
from hwnas.exporter.accuracy import Accuracy
from hwnas.exporter.export import export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.model_file.int8_layers import LARGEST_BIAS, CheckedLayers, Scales, StoredLayer
from hwnas.exporter.model_file.quantizer import Int8Settings
from hwnas.exporter.onnx.int8 import onnx_int8_weights
from hwnas.exporter.sensitivity import signal_to_noise_db
from hwnas.exporter.tflite.file import packed, unpacked
from hwnas.inspection.examine import examine
from hwnas.runtimes import get_runtime
from tests.export_digits import digits_child, digits_images

SHAPE = (1, 3, 16, 16)
IMAGES = np.random.default_rng(0).standard_normal((8, *SHAPE[1:]), dtype=np.float32)


def classifier() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6(), nn.Conv2d(8, 12, 1)
    head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)
    return nn.Sequential(*body, *head).eval()


FIRST, DEPTHWISE, POINTWISE, HIDDEN, LAST = 0, 2, 4, 8, 10


def int8_file(module: nn.Module, format: str) -> bytes:
    model = get_format(format).write(lower(module, SHAPE))
    return get_format(format).quantizer(model, IMAGES, Int8Settings()).quantized()


def noise_db(module: nn.Module, format: str, model: bytes) -> float:
    """Signal to noise of the outputs."""
    session = get_runtime(get_format(format).runtime).load(model)
    actual = np.concatenate([session.run(image[None]).copy() for image in IMAGES])
    with torch.inference_mode():
        expected = module(torch.from_numpy(IMAGES)).numpy()
    return signal_to_noise_db(expected, actual)


def stored_biases(model: bytes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(bias, its scales, input scale x weight scales) of every layer of an int8 .tflite, as LiteRT reads them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    details = {
        tensor["index"]: tensor["quantization_parameters"]["scales"] for tensor in interpreter.get_tensor_details()
    }
    layers = [
        op
        for op in interpreter._get_ops_details()
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    return [
        (interpreter.get_tensor(bias), details[bias], details[source][0] * details[weight])
        for source, weight, bias in (op["inputs"] for op in layers)
    ]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-20, 1e-41])
@pytest.mark.parametrize("bias", [3.0, -2.0, 0.0])
def test_a_filter_of_next_to_nothing_keeps_its_bias(size: float, bias: float, format: str, tmp_path: Path) -> None:
    network = classifier()
    for layer in (FIRST, DEPTHWISE, POINTWISE, HIDDEN, LAST):
        network[layer].weight.data[1], network[layer].bias.data[1] = size, bias
    model = int8_file(network, format)
    assert noise_db(network, format, model) > 35
    if format == "tflite":
        for stored, scales, product in stored_biases(model):
            assert np.abs(stored.astype(np.int64)).max() <= LARGEST_BIAS + 1024
            np.testing.assert_allclose(scales, product, rtol=1e-6)
        path = tmp_path / "model.tflite"
        path.write_bytes(model)
        assert (examine(path).execution.partitions, examine(path).execution.outside) == (1, ())


@pytest.mark.parametrize("format", FORMATS)
def test_a_bias_far_beyond_an_activation_is_cut_off_by_the_activation_alone(format: str) -> None:
    network = classifier()
    network[DEPTHWISE].bias.data[2] = 1e6
    assert noise_db(network, format, int8_file(network, format)) > 35


class Joined(nn.Module):
    """A branch that is zero on every image, joined with one that is not."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dead, self.live = (nn.Conv2d(3, 8, 3, 2, 1) for _ in range(2))
        self.dead.bias.data.fill_(-100)
        self.head, self.join = nn.Linear(8, 4), join

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.join(self.dead(x), self.live(x)).mean((2, 3)))


JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "added": lambda dead, live: F.relu(dead) + live,
    "added, and all dead": lambda dead, live: F.relu(dead + live),
    "multiplied": lambda dead, live: F.relu(dead) * live,
    "side by side": lambda dead, live: torch.cat([F.relu(dead), F.relu(dead + live)], 1)[:, 4:12],
    "a gate": lambda dead, live: torch.sigmoid(dead) * live,
    "pooled": lambda dead, live: F.max_pool2d(F.relu(dead), 2) + F.max_pool2d(live, 2),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("join", JOINS)
def test_a_branch_that_is_always_zero_ends_neither_the_runtime_nor_the_accuracy(join: str, format: str) -> None:
    network = Joined(JOINS[join]).eval()
    assert noise_db(network, format, int8_file(network, format)) > 35


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("layer", [FIRST, DEPTHWISE, HIDDEN])
def test_a_layer_that_is_always_zero_leaves_a_constant_output(layer: int, format: str) -> None:
    network = classifier()
    network[layer].bias.data.fill_(-100)
    assert noise_db(network, format, int8_file(network, format)) > 35


SCALES = Scales(0.5, np.array([0.25, 2.0]), np.array([0.125, 1.0]))


def test_a_layer_is_held_against_the_bias_of_the_network() -> None:
    def layer(stored: list[int], scales: Scales = SCALES) -> StoredLayer:
        return StoredLayer("conv", "conv.weight", np.array(stored, np.int32), scales)

    bias = np.array([1.0, -3.0], np.float32)
    layer([8, -3]).check(bias)
    with pytest.raises(HwnasError, match="conv stores a bias of 2147483647 steps, of which int32 has room for"):
        layer([2**31 - 1, -3]).check(bias)
    with pytest.raises(HwnasError, match="stores a bias that is 2 off the network's"):
        layer([8, -5]).check(bias)
    with pytest.raises(HwnasError, match="counts its bias in other steps than its products"):
        layer([8, -3], replace(SCALES, bias=np.array([0.125, 1.01]))).check(bias)
    for wrong in (0.0, np.inf, np.nan):
        with pytest.raises(HwnasError, match="which must be positive"):
            layer([8, -3], replace(SCALES, input=wrong)).check(bias)


def test_a_file_with_a_saturated_bias_is_refused() -> None:
    from hwnas.exporter.tflite import int8 as int8_tflite

    network = classifier()
    file = unpacked(int8_file(network, "tflite"))
    graph = file.subgraphs[0]
    bias = next(tensor for tensor in graph.tensors if tensor.name == b"4.bias")
    file.buffers[bias.buffer].data = np.full(12, 2**31 - 1, np.int32).tobytes()
    layers = CheckedLayers(int8_tflite._layers, get_format("tflite").write(lower(network, SHAPE)))
    with pytest.raises(HwnasError, match=r"the layer 4 stores a bias of 2147483647 steps.*--keep-float 4"):
        layers.checked(lambda _scales: packed(file))


@pytest.mark.parametrize("format", FORMATS)
def test_weights_alone_of_next_to_nothing_stay_numbers(format: str) -> None:
    network = classifier()
    network[FIRST].weight.data[1], network[LAST].weight.data[2] = 1e-44, 0
    model = get_format(format).int8_weights(get_format(format).write(lower(network, SHAPE)))
    assert noise_db(network, format, model) > 35


def test_weights_that_are_infinite_are_refused_though_an_activation_hides_them(tmp_path: Path) -> None:
    network = classifier()
    network[FIRST].bias.data[0] = -torch.inf
    for precision in ("int8-weights", "int8"):
        with pytest.raises(HwnasError, match="the layer 0 has weights that are infinite or not a number"):
            images = replace(digits_images(), classes=()) if precision == "int8" else None
            export(network, tmp_path, ["tflite"], SHAPE, [precision], images)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_number_is_noise_alone() -> None:
    assert signal_to_noise_db(np.ones(2), np.array([1.0, np.nan])) == -200


def test_a_classifier_that_answers_otherwise_is_called_another_one() -> None:
    assert not Accuracy(right=10, images=100, agrees=93).disagrees  # chance could make it of 95
    assert Accuracy(right=10, images=100, agrees=85).disagrees
    assert Accuracy(right=10, images=20, agrees=0).disagrees


@pytest.mark.parametrize("outputs", [9, 11])
def test_outputs_that_are_not_the_classes_are_refused_before_anything_is_made(outputs: int, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs)).eval()
    stages: list[str] = []
    with pytest.raises(HwnasError, match=rf"gives {outputs} outputs, and the images are of 10 classes \('0', '1'"):
        export(network, tmp_path, input_shape=SHAPE, images=digits_images(), progress=lambda *a: stages.append(a[0]))
    assert stages == [] and list(tmp_path.iterdir()) == []


def test_images_without_classes_calibrate_and_nothing_more(tmp_path: Path) -> None:
    """Feature maps can be rounded too."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()).eval()
    images = replace(digits_images(), classes=())
    for model in export(network, tmp_path, input_shape=SHAPE, precisions=["int8"], images=images):
        assert (model.accuracy, model.info.metadata.labels) == (None, ())
        assert model.parity.signal_to_noise_db > 30
    assert '"classes": null' in (tmp_path / "export.json").read_text()


@pytest.mark.weekly
def test_a_trained_network_agrees_with_itself_in_int8(tmp_path: Path) -> None:
    child = digits_child()
    child.blocks[1].depthwise[1].weight.data[:3] = 0  # as weight decay and pruning leave batch norms
    child.blocks[1].depthwise[1].bias.data[:3] = torch.tensor([2.0, -1.0, 0.5])
    for model in export(child, tmp_path, precisions=["int8"], images=digits_images()):
        assert not model.disagrees and model.rounding_warnings == ()
        assert model.accuracy.agreement > 0.95
        assert model.parity.signal_to_noise_db > 20


def test_onnx_weights_of_a_shared_zero_stay_zero() -> None:
    import onnx

    network = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    nn.init.zeros_(network[0].weight)
    file = onnx.load_model_from_string(onnx_int8_weights(get_format("onnx").write(lower(network, SHAPE))))
    scale = next(onnx.numpy_helper.to_array(c) for c in file.graph.initializer if c.name.endswith(".scale"))
    assert (scale == 1).all()


def test_the_quantiser_leaves_logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """It logs while stderr leads nowhere: a handler that keeps that stream would break every later message."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    int8_file(classifier(), "tflite")
    assert logging.getLogger().handlers == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_maximum_is_padded_with_is_no_part_of_its_range(format: str) -> None:
    torch.manual_seed(0)
    pooled = nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, 2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    module = nn.Sequential(*pooled, nn.Linear(4, 4)).eval()
    assert noise_db(module, format, int8_file(module, format)) > 20


def test_a_constant_around_the_image_is_a_part_of_its_range() -> None:
    padded = nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.ConstantPad2d(1, 5.0), nn.Conv2d(4, 4, 3)
    torch.manual_seed(0)
    module = nn.Sequential(*padded, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert noise_db(module, "tflite", int8_file(module, "tflite")) > 20
