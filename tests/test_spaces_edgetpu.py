"""The space around EfficientNet-EdgeTPU-S, against the published network."""

import csv

from hwnas.spaces import get_space
from hwnas.specs.fused_mbconv import FusedMBConv

EFFICIENTNET_EDGETPU_S = [1] * 6 + [3] * 11


def test_efficientnet_edgetpu_s_has_the_published_size(shared_data):
    network = get_space("edgetpu").decode(EFFICIENTNET_EDGETPU_S)
    with (shared_data / "nas" / "timm_imagenet_results.csv").open() as file:
        million = {row["model"]: float(row["params_million"].replace(",", "")) for row in csv.DictReader(file)}
    assert round(network.params / 1e6, 2) == million["tf_efficientnet_es.in1k"] == 5.44


def test_its_first_two_stages_are_fused_and_the_others_are_not():
    network = get_space("edgetpu").decode(EFFICIENTNET_EDGETPU_S)
    assert [isinstance(spec, FusedMBConv) for spec in network.blocks] == [False] + [True] * 7 + [False] * 12
    assert (network.params, network.macs) == (5_438_392, 1_788_731_008)
