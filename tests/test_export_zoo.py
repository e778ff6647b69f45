"""Published networks in plain PyTorch: they are what was published, and export through the same call as hwnas' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.networks import NETWORKS, with_statistics
from hwnas.exporter.export import convert, export
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.inspection.examine import examine
from hwnas.runtimes import installed_runtimes
from tests.weekly import weekly_except

PUBLISHED = {
    "mobilenet-v2": (3_504_872, 300_774_272),
    "mobilenet-v3-large": (5_483_032, 216_589_760),
    "efficientnet-b0": (5_288_548, 385_814_752),
    "shufflenet-v2": (2_278_604, 144_907_992),
    "resnet-18": (11_689_512, 1_814_073_344),
}
"""Parameters, and multiply-accumulates at 224 x 224, of the networks that torchvision publishes weights for."""

SHAPE = (1, 3, 224, 224)

SHUFFLES = dict.fromkeys(NETWORKS, 0) | {"shufflenet-v2": 16}
"""Channel shuffles, of three TRANSPOSEs at most; nothing else needs to move data."""


def macs(network: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(SHAPE))
    return counter.get_total_flops() // 2


def outputs(network: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(images.copy())).numpy()


@pytest.fixture(scope="module", params=weekly_except(["mobilenet-v3-large", "shufflenet-v2"], NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name: str) -> nn.Module:
    return with_statistics(NETWORKS[name](), (4, 3, 128, 128))


@pytest.fixture(scope="module")
def files(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pytest.importorskip("onnx")
    return [model.path for model in export(network, tmp_path_factory.mktemp("model"), input_shape=SHAPE)]


def test_is_the_published_network(name: str, network: nn.Module) -> None:
    assert (sum(p.numel() for p in network.parameters()), macs(network)) == PUBLISHED[name]


def test_no_layer_does_nothing(network: nn.Module) -> None:
    """An image decides the output, and none of its values is zero or out of proportion: mistakes would be seen."""
    images = np.random.default_rng(1).standard_normal((2, *SHAPE[1:]), dtype=np.float32)
    first, second = outputs(network, images)
    assert relative_error(first, second) > 0.05
    assert 0.1 < first.std() < 100


def test_runs_alike_in_every_runtime(network: nn.Module, files: list[Path]) -> None:
    x = np.random.default_rng(2).standard_normal(SHAPE, dtype=np.float32)
    expected = outputs(network, x)
    errors = {
        (path.name, name): relative_error(runtime.load(path, threads=1).run(x), expected)
        for path in files
        for name, runtime in installed_runtimes().items()
        if runtime.suffix == path.suffix
    }
    assert {path for path, _ in errors} == {"model.tflite", "model.onnx"}
    assert all(error <= LIMIT for error in errors.values()), errors


def test_xnnpack_computes_all_of_it_in_one_piece(name: str, files: list[Path]) -> None:
    info = examine(files[0])
    assert (info.format, info.execution.partitions, info.execution.outside) == ("tflite", 1, ())
    assert info.transposes <= 3 * SHUFFLES[name]


def test_its_training_is_left_alone(name: str) -> None:
    """An export in the middle of training neither changes the mode of a layer nor a number."""
    network = NETWORKS[name](num_classes=10).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    convert(network, (1, 3, 64, 64), "tflite")
    assert all(layer.training for layer in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
