"""Known networks: parameters and multiply-accumulates as published, and files that compute what the module does."""

import csv

import pytest
import torch

from hwnas.child import build_child
from hwnas.errors import UsageError
from hwnas.exporter.export import export
from hwnas.networks import NETWORKS, get_network
from hwnas.space import Architecture
from tests.weekly import weekly_except

PUBLISHED = {  # parameters, million MACs
    "dsnas-published": (3_548_176, 323.3),  # SNAS-Series/SNAS-Series, but for how it counts the last layer
    "efficientnet-lite0": (4_652_008, 385.2),
    "fbnet-c": (5_570_664, 378.1),
    "mnasnet": (4_383_312, 314.4),
    "mobilenet-v1": (4_231_976, 568.7),
    "mobilenet-v2": (3_504_872, 300.8),
    "mobilenet-v3-large": (5_483_032, 216.6),
    "mobilenet-v3-large-minimalistic": (3_924_288, 209.1),
    "mobilenet-v3-small": (2_542_856, 56.5),
    "mobilenet-v3-small-minimalistic": (2_044_736, 52.3),
    "mobilenet-v4-conv-small": (3_772_744, 186.0),
    "plain-cnn": (370_184, 155.5),  # counted by hand: it is in no paper
    "proxylessnas-mobile": (4_080_512, 320.4),
    "shufflenet-v2": (2_278_604, 144.9),
    "single-path-published": (4_421_616, 333.5),
    "spos-published": (3_340_096, 321.8),
    "squeezenet-1.0": (1_248_424, 818.9),
    "squeezenet-1.1": (1_235_496, 349.2),
}
"""Parameters are those of torchvision and timm, to the last one; MobileNetV4 has 1,280 fewer (see its module)."""

IN_TIMM = {
    ("efficientnet-lite0", 1.0): "tf_efficientnet_lite0.in1k",
    ("fbnet-c", 1.0): "fbnetc_100.rmsp_in1k",
    ("mnasnet", 1.0): "mnasnet_100.rmsp_in1k",
    ("mobilenet-v1", 1.0): "mobilenetv1_100.ra4_e3600_r224_in1k",
    ("mobilenet-v1", 1.25): "mobilenetv1_125.ra4_e3600_r224_in1k",
    ("mobilenet-v2", 0.5): "mobilenetv2_050.lamb_in1k",
    ("mobilenet-v2", 1.0): "mobilenetv2_100.ra_in1k",
    ("mobilenet-v2", 1.4): "mobilenetv2_140.ra_in1k",
    ("mobilenet-v3-large", 0.75): "tf_mobilenetv3_large_075.in1k",
    ("mobilenet-v3-large", 1.0): "tf_mobilenetv3_large_100.in1k",
    ("mobilenet-v3-large-minimalistic", 1.0): "tf_mobilenetv3_large_minimal_100.in1k",
    ("mobilenet-v3-small", 0.75): "tf_mobilenetv3_small_075.in1k",
    ("mobilenet-v3-small", 1.0): "tf_mobilenetv3_small_100.in1k",
    ("mobilenet-v3-small-minimalistic", 1.0): "tf_mobilenetv3_small_minimal_100.in1k",
    ("mobilenet-v4-conv-small", 1.0): "mobilenetv4_conv_small.e2400_r224_in1k",
    ("single-path-published", 1.0): "spnasnet_100.rmsp_in1k",
}


def test_every_network_has_a_published_size():
    assert set(PUBLISHED) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_macs_are_the_published_ones(name):
    network = get_network(name)
    params, million_macs = PUBLISHED[name]
    assert network.params == params
    assert network.macs / 1e6 == pytest.approx(million_macs, abs=0.05)


def test_parameters_are_those_of_the_public_results_also_at_other_widths(shared_data):
    with (shared_data / "nas" / "timm_imagenet_results.csv").open() as file:
        million = {row["model"]: float(row["params_million"].replace(",", "")) for row in csv.DictReader(file)}
    ours = {key: get_network(*key).params / 1e6 for key in IN_TIMM}
    assert {key: round(params, 2) for key, params in ours.items()} == {key: million[IN_TIMM[key]] for key in IN_TIMM}


@pytest.mark.parametrize("name", weekly_except(list(NETWORKS)[::6], NETWORKS))
def test_the_module_has_the_counted_parameters_and_both_files_agree_with_it(name, tmp_path):
    network = get_network(name, 0.5 if name == "shufflenet-v2" else 0.25, 64, 5)
    child = build_child(network).eval()
    assert sum(p.numel() for p in child.parameters()) == network.params
    assert child(torch.randn(2, 3, 64, 64)).shape == (2, 5)
    models = export(child, tmp_path)
    assert {model.format for model in models} == {"tflite", "onnx"}
    assert all(model.max_relative_error < 1e-4 for model in models)


@pytest.mark.parametrize(("resolution", "last_side"), [(8, 1), (32, 4), (63, 8), (64, 4), (224, 14)])
def test_the_plain_network_pools_three_times_and_begins_with_a_stride_on_large_images(resolution, last_side):
    chain = list(get_network("plain-cnn", 1.0, resolution, 10).chain())
    assert [spec.kind for spec, _ in chain] == ["conv", "max_pool"] * 3 + ["conv", "pool_linear"]
    assert [spec.out_channels for spec, _ in chain[:7:2]] == [32, 64, 128, 128]
    assert chain[-1][1] == (128, last_side, last_side)


def test_json_and_back():
    network = get_network("mobilenet-v3-small", 0.75, 96, 7)
    again = Architecture.from_json(network.to_json())
    assert again == network and again.digest == network.digest
    assert (again.space, again.code) == ("mobilenet-v3-small", "0.75x96")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: get_network("mobilenet"), "known: dsnas-published"),
        (lambda: get_network("mobilenet-v2", 0.0), "width"),
        (lambda: get_network("mobilenet-v2", 1.0, 4), "resolution"),
        (lambda: get_network("mobilenet-v2", 1.0, 224, 1), "classes"),
        (lambda: get_network("shufflenet-v2", 0.7), "0.5, 1.0, 1.5, 2.0"),
    ],
)
def test_what_there_is_not_is_refused(call, says):
    with pytest.raises(UsageError, match=says):
        call()
