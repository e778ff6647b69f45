"""Images that are in two splits or in two classes: found by their pixels, said, and left out of a second accuracy."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from hwnas.train.data import ImageData, load_data
from hwnas.train.findings import DataWarning
from tests.image_files import make_folder, noise

COUNTS = {"train/cat": 20, "train/dog": 20, "val/cat": 5, "val/dog": 5, "test/cat": 8, "test/dog": 8}


def loaded(folder: Path, **options) -> tuple[ImageData, list[str]]:
    """The images, with the test split read, and what was said of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_data(folder, 16, **{"workers": 0, "batch_size": 7, **options})
        list(data.test_batches())
    return data, [str(each.message) for each in caught if issubclass(each.category, DataWarning)]


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path, COUNTS)


def test_of_different_images_nothing_is_said(folder):
    data, said = loaded(folder)
    assert said == [] and not any(data.findings.leaked.values()) and not data.findings.contradictory
    assert sum(len(labels) for _, labels in data.test_batches(leaked=False)) == 16
    digits, said = loaded("digits")
    assert said == [] and digits.counts["test"] == 324


@pytest.mark.parametrize("memory_share", [0.25, 0.0])
def test_every_kind_of_copy_of_a_training_image_is_found_in_test(folder, memory_share):
    shutil.copy(folder / "train/cat/0.png", folder / "test/cat/bytes.png")
    Image.open(folder / "train/cat/1.png").save(folder / "test/cat/again.webp", lossless=True)
    described = PngImagePlugin.PngInfo()
    described.add_text("Author", "somebody")
    Image.open(folder / "train/dog/2.png").save(folder / "test/dog/metadata.png", pnginfo=described)
    turned, orientation = Image.open(folder / "train/dog/3.png").transpose(Image.Transpose.ROTATE_90), Image.Exif()
    orientation[0x0112] = 6
    turned.save(folder / "test/dog/turned.png", exif=orientation)
    shutil.copy(folder / "val/dog/4.png", folder / "test/dog/of_val.png")
    data, said = loaded(folder, memory_share=memory_share, workers=2)
    leaked = data.findings.leaked["test"]
    assert leaked.count == 5 and len(leaked.first) == 3
    assert not data.findings.leaked["val"] and not data.findings.contradictory
    assert len([text for text in said if "among the test images: 5 (" in text and "' is '" in text]) == 1
    # the second accuracy is of the other 16 images
    kept = torch.cat([images for images, _ in data.test_batches(leaked=False)])
    whole = torch.cat([images for images, _ in data.test_batches()])
    assert len(whole) == 21 and len(kept) == 16
    own = {image.numpy().tobytes() for images, _ in loaded_without_copies(folder).test_batches() for image in images}
    assert {image.numpy().tobytes() for image in kept} == own


def loaded_without_copies(folder: Path) -> ImageData:
    for name in ("cat/bytes.png", "cat/again.webp", "dog/metadata.png", "dog/turned.png", "dog/of_val.png"):
        (folder / "test" / name).unlink()
    return loaded(folder)[0]


def test_equal_files_are_said_before_a_test_image_is_decoded(folder):
    shutil.copy(folder / "train/cat/0.png", folder / "test/cat/x.png")
    with pytest.warns(DataWarning, match=r"test images: 1 \('test/cat/x.png' is 'train/cat/0.png'\)"):
        data = load_data(folder, 16, workers=0)
    assert "test" not in data.splits_read


def test_copies_of_training_images_among_those_that_a_search_judges_by(folder):
    shutil.copy(folder / "train/cat/0.png", folder / "val/cat/x.png")
    data, said = loaded(folder)
    assert data.findings.leaked["val"].first == ("'val/cat/x.png' is 'train/cat/0.png'",)
    assert [text for text in said if text.startswith("Copies of training images among the validation images: 1 ")]


def test_a_picture_in_two_classes_is_said(folder):
    shutil.copy(folder / "train/cat/0.png", folder / "train/dog/x.png")
    shutil.copy(folder / "train/cat/1.png", folder / "train/cat/same_class.png")
    shutil.copy(folder / "train/cat/2.png", folder / "test/dog/x.png")
    data, said = loaded(folder)
    assert data.findings.contradictory.count == 2
    assert data.findings.contradictory.first == (
        "'train/cat/0.png' = 'train/dog/x.png'",
        "'train/cat/2.png' = 'test/dog/x.png'",
    )
    assert [text for text in said if text.startswith("Pictures that are in more than one class: 2 ")]


@pytest.mark.parametrize("original", ["train/cat/photo.jpg", "test/cat/photo.jpg"])
def test_a_photo_saved_again_in_another_format_is_found_although_photos_are_decoded_smaller(folder, original):
    for index in range(4):  # pictures that look alike, of which only one is the same
        y, x = np.mgrid[0:150, 0:230]
        waves = np.stack([128 + 90 * np.sin(x / 9 + index), 128 + 90 * np.cos(y / 7), (x + y) / 2], axis=2)
        Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(folder / original.replace("photo", f"photo{index}"))
    again = ("test" if original.startswith("train") else "train") + "/cat/again.png"
    Image.open(folder / original.replace("photo", "photo2")).save(folder / again)
    data, _ = loaded(folder)
    found = data.findings.leaked["test"]
    pair = (again, original.replace("photo", "photo2"))
    assert found.first == ("{!r} is {!r}".format(*(pair if again.startswith("test") else reversed(pair))),)


def test_a_photo_saved_again_in_another_class_is_said(folder):
    y, x = np.mgrid[0:150, 0:230]
    waves = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), (x + y) / 2], axis=2)
    photo = Image.fromarray(waves.clip(0, 255).astype(np.uint8))
    photo.save(folder / "train/cat/photo.jpg")
    Image.open(folder / "train/cat/photo.jpg").save(folder / "train/dog/again.png")
    Image.open(folder / "train/cat/photo.jpg").save(folder / "train/cat/same_class.png")
    Image.open(folder / "train/cat/photo.jpg").save(folder / "test/dog/again.png")
    data, said = loaded(folder)
    assert data.findings.contradictory.first == (
        "'train/cat/same_class.png' = 'train/dog/again.png' = 'test/dog/again.png'",
        "'train/cat/photo.jpg' = 'train/dog/again.png'",
        "'test/dog/again.png' = 'train/cat/photo.jpg'",
    )
    assert [text for text in said if text.startswith("Pictures that are in more than one class: 3 ")]


def test_nearly_equal_pictures_are_not_copies(folder):
    pixels = np.asarray(noise(0, size=(16, 16))).copy()
    Image.fromarray(pixels).save(folder / "train/cat/x.png")
    pixels[3, 5, 1] ^= 1
    Image.fromarray(pixels).save(folder / "test/cat/x.png")
    assert loaded(folder)[1] == []


def test_a_copy_is_found_in_a_folder_that_is_divided_here(tmp_path):
    make_folder(tmp_path, {"cat": 30, "dog": 30})
    for index in range(30):
        shutil.copy(tmp_path / "cat" / f"{index}.png", tmp_path / "cat" / f"copy{index}.png")
    data, _ = loaded(tmp_path)
    assert data.findings.leaked["test"].count >= 5 and data.findings.leaked["val"].count >= 1
