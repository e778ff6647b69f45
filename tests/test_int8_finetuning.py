"""Fine-tuning with fake quantisation: it computes what the int8 file computes, and mends what rounding broke."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.child import ChildNetwork, build_child
from hwnas.designer.judged import FileNetwork, judged_network
from hwnas.errors import HwnasError
from hwnas.exporter.export import convert, export
from hwnas.exporter.fake_int8 import FakeInt8
from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.execution import computed
from hwnas.exporter.graph.lower import lower
from hwnas.run import Run
from hwnas.space import Architecture
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.shuffle_unit import ShuffleUnit
from hwnas.train.evaluate import accuracy
from hwnas.train.int8_finetuning import SETTINGS, Int8FineTuner, fine_tune_for_int8
from tests.export_digits import RESOLUTION, digits, digits_child, digits_images, hard_for_int8, low_bit_hard
from tests.export_networks import trained
from tests.weekly import weekly_except

SHAPE = (1, 3, RESOLUTION, RESOLUTION)


def calibration() -> torch.Tensor:
    images = digits_images()
    return torch.from_numpy(images.preprocessing.normalised(images.calibration.pixels))


@pytest.mark.parametrize("format", weekly_except(["onnx"], ["tflite", "onnx"]))
def test_it_computes_what_the_int8_file_computes(format: str) -> None:
    """Where rounding ruins the network, its file is far from what it was, and near to what is computed here."""
    child, images = hard_for_int8(digits_child()), torch.cat([images for images, _ in digits().test_batches()])[:64]
    fake = FakeInt8(child, SHAPE, format, calibration())
    file = FileNetwork(convert(child, SHAPE, format, "int8", calibration().numpy()), format)
    with torch.no_grad():
        mine, in_float, of_file = fake(images), child(images), file(images)
    step = (fake.ranges["output"][1] - fake.ranges["output"][0]) / 255
    assert (in_float - of_file).abs().mean() > 10 * step
    assert (mine - of_file).abs().mean() < 2 * step and (mine - of_file).abs().max() < 12 * step
    assert (mine.argmax(1) == of_file.argmax(1)).float().mean() > 0.85  # some have two classes a step apart


HARD_SWISH = (
    Conv(3, 16, 3, stride=2),
    MBConv(16, 24, 3, expand=4, stride=2, se_ratio=0.25, activation="hard_swish"),
    MBConv(24, 24, 5, expand=4, se_ratio=0.25, activation="hard_swish"),
    Head(24, 64, 10),
)
SHUFFLE = (Conv(3, 16, 3, stride=2), ShuffleUnit(16, 32, 3, stride=2), ShuffleUnit(32, 32, 5), Head(32, 64, 10))


OF_SPACES = {name: get_space(name, 32, 10, 0.25).sample(random.Random(0)) for name in ("lite-5", "lite")}
"""Of the spaces for photographs: their first convolution pads its input as TensorFlow does."""
OTHERS = {"hard_swish": Architecture(HARD_SWISH, (3, 32, 32)), "shuffle": Architecture(SHUFFLE, (3, 32, 32))}


@pytest.mark.parametrize("name", [*OTHERS, *OF_SPACES])
def test_operators_with_the_layers_own_parameters_compute_what_the_network_computes(name: str) -> None:
    """Whatever is folded into a layer's weights: batch norms, and the sixth of a hard-swish."""
    child = trained(build_child((OTHERS | OF_SPACES)[name]))
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32))
    fake = FakeInt8(child, (1, 3, 32, 32), "tflite", images)
    with torch.no_grad():
        found, expected = fake._run(images, lambda _, value: value, rounded=False), child(images)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_gradients_reach_every_parameter_through_the_rounding() -> None:
    child = digits_child()
    fake = FakeInt8(child, SHAPE, "tflite", calibration())
    fake(calibration()[:8]).square().sum().backward()
    for name, parameter in child.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().sum()) > 0, name


@pytest.mark.weekly
def test_a_network_that_int8_breaks_is_mended_and_passes_the_exports_own_check(tmp_path: Path) -> None:
    child, data = low_bit_hard(digits_child()), digits()
    in_float, broken = accuracy(child, data.val_batches()), _file_accuracy(child)
    assert in_float - broken > 0.02
    tuned = fine_tune_for_int8(child, data, "tflite", Run(tmp_path / "run", {}), epochs=2)
    assert _file_accuracy(tuned) > broken + 0.5 * (in_float - broken)
    assert accuracy(child, data.val_batches()) == in_float  # left as it was
    (model,) = export(tuned, tmp_path / "models", ("tflite",), precisions=("int8",), images=digits_images())
    assert model.accuracy is not None and model.info.execution.partitions == 1


def _file_accuracy(child: ChildNetwork) -> float:
    return accuracy(judged_network(child, digits(), "tflite", "int8"), digits().val_batches())


def test_stopped_anywhere_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    batches = list(digits().train_batches(0))[:4]
    whole, first, second = (Int8FineTuner(digits_child(), digits(), "tflite", 1, SETTINGS) for _ in range(3))
    for batch in batches:
        whole.step(*batch)
    for batch in batches[:2]:
        first.step(*batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        second.step(*batch)
    for (name, one), other in zip(whole.net.state_dict().items(), second.net.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


class Odd(nn.Module):
    """A layer that is used twice has no batch norm of its own behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * self.scale


def test_a_layer_that_is_made_of_something_else_is_refused_by_name() -> None:
    with pytest.raises(HwnasError, match="the layer layer of the exported network is made of more"):
        FakeInt8(Odd().eval(), (1, 3, 8, 8), "tflite", torch.zeros(1, 3, 8, 8))


def test_an_operator_that_is_not_known_is_refused_by_name() -> None:
    graph = decompose(lower(nn.Upsample(scale_factor=2), (1, 3, 8, 8)))
    with pytest.raises(HwnasError, match=r"resize_nearest.* cannot be computed with other weights"):
        computed(graph.operators[0], [torch.zeros(1, 3, 8, 8)], None, None)
