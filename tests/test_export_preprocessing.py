"""Pixels as the input: exact against preprocessing in PyTorch, in both formats, whatever the first layer is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import UsageError
from hwnas.exporter.export import ExportOptions, export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.images import Calibration, ExportImages
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.exporter.pixel_input import FromPixels, from_pixels
from hwnas.exporter.precision import PRECISIONS
from hwnas.exporter.target import with_softmax
from hwnas.inspection.examine import examine
from hwnas.preprocessing import Preprocessing
from hwnas.runtimes import get_runtime
from tests.export_digits import digits, digits_child, digits_images

PREPROCESSING = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SHAPE = (1, 3, 12, 10)


class Twice(nn.Module):
    """The image is read by something that is no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


FIRST_LAYERS = {
    "padded": (nn.Conv2d(3, 8, 3, 2, 1), ["subtract", "conv"]),
    "not padded": (nn.Conv2d(3, 8, 3, 2), ["subtract", "conv"]),
    "depthwise": (nn.Conv2d(3, 6, 3, padding=1, groups=3), ["subtract", "depthwise_conv"]),
    "depthwise, not padded": (nn.Conv2d(3, 6, 3, groups=3), ["subtract", "depthwise_conv"]),
    "no convolution": (Twice(), ["subtract", "multiply", "conv", "add"]),
}


@pytest.mark.parametrize("format", [get_format(name) for name in FORMATS], ids=FORMATS)
@pytest.mark.parametrize("name", FIRST_LAYERS)
def test_pixels_give_what_preprocessing_and_the_network_give(name: str, format: Format, tmp_path: Path) -> None:
    module, kinds = FIRST_LAYERS[name]
    graph = from_pixels(lower(module.eval(), SHAPE), PREPROCESSING)
    assert [operator.kind for operator in graph.operators] == kinds
    model = format.uint8_input(format.write(graph))
    pixels = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    # straight from the definition, not through any code of ours
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
                 for values in (PREPROCESSING.mean, PREPROCESSING.std))  # fmt: skip
    with torch.no_grad():
        expected = module(((torch.from_numpy(pixels) / 255.0 - mean) / std).float()).numpy()
    session = get_runtime(format.runtime).load(model)
    assert session.input_shape == SHAPE
    assert relative_error(session.run(pixels.astype(np.float32)), expected) <= LIMIT
    path = tmp_path / f"model.{format.name}"
    path.write_bytes(model)
    (source,) = examine(path).inputs
    assert (source.dtype, source.shape) == ("uint8", (1, 12, 10, 3))


def test_the_reference_is_the_definition() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    expected = PREPROCESSING.normalised(pixels.numpy().astype(np.uint8))
    np.testing.assert_allclose(FromPixels(nn.Identity(), PREPROCESSING)(pixels).numpy(), expected, rtol=1e-6)


@pytest.fixture(scope="module")
def from_camera(tmp_path_factory: pytest.TempPathFactory) -> list:
    options = ExportOptions(uint8_input=True, softmax=True)
    folder = tmp_path_factory.mktemp("pixels")
    return export(digits_child(), folder, precisions=tuple(PRECISIONS), images=digits_images(), options=options)


def test_every_precision_takes_pixels_and_gives_probabilities(from_camera) -> None:
    pixels, labels = next(iter(digits().pixel_batches("test")))
    for model in from_camera:
        assert abs(model.loss_points) <= 3, model.path.name
        (source,), (result,) = model.info.inputs, model.info.outputs
        assert (source.dtype, source.shape, result.dtype) == ("uint8", (1, 16, 16, 3), "float32")
        session = get_runtime("litert" if model.format == "tflite" else "onnxruntime").load(model.path)
        scores = np.concatenate([session.run(image[None].float().numpy()).copy() for image in pixels])
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-3)
        assert (scores.argmax(1) == labels.numpy()).mean() > 0.8
        if model.format == "tflite":
            assert model.info.execution.partitions == 1


def test_an_app_can_feed_the_file_bytes_without_hwnas(from_camera) -> None:
    """The runtimes alone, with an image as a decoder gives it: height x width x RGB, uint8."""
    pixels, labels = next(iter(digits().pixel_batches("test")))
    images = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    by_path = {model.path.name: model.path for model in from_camera}
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    for name in ("model.int8.tflite", "model.tflite"):
        interpreter = Interpreter(str(by_path[name]))
        interpreter.allocate_tensors()
        right = 0
        for image, label in zip(images, labels.tolist(), strict=True):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
            right += interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax() == label
        assert right > 0.8 * len(labels)
    session = onnxruntime.InferenceSession(str(by_path["model.int8.onnx"]), providers=["CPUExecutionProvider"])
    answers = [session.run(None, {"input": image[None]})[0].argmax() for image in images]
    assert (np.array(answers) == labels.numpy()).mean() > 0.8


def test_pixels_in_eight_bits_are_exact(tmp_path: Path) -> None:
    """Calibrated on one grey image, every other pixel value must still come through."""
    images = ExportImages(
        PREPROCESSING, ("a", "b"), Calibration(np.full((2, 3, 12, 10), 128, np.uint8), 0), (), [(
            np.zeros((1, 3, 12, 10), np.uint8), np.zeros(1, np.int64))]
    )  # fmt: skip
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    options = ExportOptions(uint8_input=True, max_loss=100)
    models = export(module, tmp_path, ["tflite"], SHAPE, ["int8"], images, options)
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.ModelT.InitFromPackedBuf(models[0].path.read_bytes(), 0).subgraphs[0]
    inside = graph.tensors[graph.operators[0].outputs[0]].quantization
    assert inside.scale.tolist() == pytest.approx([1.0], rel=1e-6)
    assert inside.zeroPoint.tolist() == [-128]


def test_probabilities_need_logits_and_pixels_need_a_normalisation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one logit per class, \(N, classes\); this network's output is"):
        with_softmax(lower(nn.Conv2d(3, 8, 3), SHAPE))
    with pytest.raises(UsageError, match="how the network was trained to see them"):
        export(nn.Conv2d(3, 8, 3), tmp_path, input_shape=SHAPE, options=ExportOptions(uint8_input=True))
    with pytest.raises(UsageError, match="an image of 3 channels"):
        from_pixels(lower(nn.Conv2d(1, 8, 3), (1, 1, 12, 10)), PREPROCESSING)
