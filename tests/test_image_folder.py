"""Folders of images as people have them: what is used, what is left out and said, and what is refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.train.data import load_data
from hwnas.train.findings import DataWarning
from hwnas.train.sources import ImageSource, folder_source
from tests.image_files import make_folder, noise, path_of_bytes, save_noise

TWO = {"cat": 6, "dog": 6}


def names(source: ImageSource) -> set[str]:
    return {image.name for image in (*source.train, *source.val, *source.test)}


def left_out(source: ImageSource) -> dict[str, str]:
    """The reason by name."""
    return {name: reason for reason, files in source.left_out.items() for name in files}


# ---- files


def test_a_class_has_all_images_below_its_folder(tmp_path):
    make_folder(tmp_path, TWO | {"cat/2023/may": 3, "dog/x": 1})
    source = folder_source(tmp_path)
    assert len(names(source)) == 16 and source.left_out == {}
    assert {image.label for image in source.train + source.test if image.name.startswith("cat/2023/may/")} == {0}
    with pytest.warns(DataWarning, match=r"in subfolders of the folder of a class: 4 files: 'cat/2023/may/0.png'"):
        load_data(tmp_path, 8, workers=0)


@pytest.mark.parametrize(
    "extension", ["tif", "TIFF", "avif", "bmp", "JP2", "ppm", "webp", "GIF", "jfif", "apng", "", "dat"]
)
def test_images_are_recognised_whatever_their_extension_says(tmp_path, extension):
    make_folder(tmp_path, TWO)
    kind = {"tif": "TIFF", "tiff": "TIFF", "jfif": "JPEG", "jp2": "JPEG2000", "": "PNG", "dat": "JPEG", "apng": "PNG"}
    name = "picture" + (f".{extension}" if extension else "")
    lower = extension.lower()
    noise(size=(40, 40)).save(tmp_path / "cat" / name, kind.get(lower, lower.upper()))
    source = folder_source(tmp_path)
    assert f"cat/{name}" in names(source) and source.left_out == {}
    expected = np.asarray(noise(size=(40, 40))).transpose(2, 0, 1)
    lossy = lower in ("avif", "jfif", "webp", "gif", "dat")
    assert np.abs(source.decode(f"cat/{name}", 40).astype(int) - expected).mean() <= (60 if lossy else 0)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    for name in ("x.gif", "x.webp", "x.tiff", "x.png"):
        red.save(tmp_path / name, save_all=True, append_images=[blue], lossless=True)
        assert (folder_source(make_folder(tmp_path, TWO)).decode(name, 8)[2] < 9).all()


def test_what_is_no_image_is_left_out_with_its_reason(tmp_path):
    make_folder(tmp_path, TWO)
    for name in ("cat/notes.txt", "cat/empty", "cat/photo.HEIC", "dog/raw.NEF", "cat/.hidden.jpg"):
        (tmp_path / name).write_bytes(b"something")
    save_noise(tmp_path / "beside.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "dog" / "up").symlink_to(tmp_path)
    (tmp_path / "dog" / "self").symlink_to(tmp_path / "dog" / "self")
    source = folder_source(tmp_path)
    assert names(source) == {f"{label}/{index}.png" for label in TWO for index in range(6)}
    reasons = {
        "cat/notes.txt": "not an image (.txt)",
        "cat/empty": "not an image (no extension)",
        "cat/photo.HEIC": "in a format that hwnas cannot read (.heic",
        "dog/raw.NEF": "in a format that hwnas cannot read (.nef",
        "cat/.hidden.jpg": "hidden by a dot",
        "beside.png": "in no folder of a class",
        "cat/pipe.png": "neither file nor folder",
        "dog/up": "a link to a folder that it is in",
        "dog/self": "neither file nor folder",
    }
    found = left_out(source)
    assert set(found) == set(reasons) and all(found[name].startswith(reason) for name, reason in reasons.items())
    with pytest.warns(DataWarning, match=r"Left out: 1 file, in a format .*convert to JPEG or PNG\): 'cat/photo.HEIC'"):
        assert load_data(tmp_path, 8, workers=0).findings.left_out["not an image (.txt)"].first == ("'cat/notes.txt'",)


def test_what_operating_systems_leave_is_passed_over(tmp_path):
    make_folder(tmp_path, TWO)
    for name in (
        "__MACOSX/cat/._0.png",
        "cat/Thumbs.db",
        "cat/.DS_Store",
        "cat/._0.png",
        "dog/desktop.ini",
        ".git/x.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
    source = folder_source(tmp_path)
    assert source.classes == ("cat", "dog") and len(names(source)) == 12 and source.left_out == {}


def test_a_class_of_unreadable_pictures_says_what_it_has(tmp_path):
    make_folder(tmp_path, TWO | {"fox": 1})
    for index in range(80):
        (tmp_path / "fox" / f"{index}.heic").write_bytes(b"something")
    with pytest.raises(HwnasError, match=r"fox' holds 1 .*80 are left out, in a format .*convert to JPEG"):
        folder_source(tmp_path)


# ---- splits


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_a_validation_folder_is_the_validation_split(tmp_path, val):
    make_folder(tmp_path, {f"{split}/{label}": 9 for split in ("Train", val, "TEST") for label in TWO})
    data = load_data(tmp_path, 8, workers=0, val_fraction=0.5)
    assert data.counts == {"train": 18, "val": 18, "test": 18}
    assert data.findings.warnings() == ()
    whole = load_data(tmp_path, 8, workers=0, limit_train=6)
    assert whole.counts == {"train": 6, "val": 18, "test": 18}


def test_folders_beside_the_splits_and_classes_without_test_images_are_said(tmp_path):
    make_folder(tmp_path, {"train/cat": 9, "train/dog": 9, "test/cat": 3, "unlabelled": 5, "more/cat": 2})
    with pytest.warns(DataWarning, match="7 files, not in train/, but beside it: 'more/cat/0.png'"):
        data = load_data(tmp_path, 8, workers=0)
    assert data.findings.untested == ("dog",)


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        ({"train/a": 3, "train/b": 3, "val/a": 3}, "no test/.*or call val/ test/"),
        ({"train/a": 3, "train/b": 3, "test/a": 1, "val/c": 1}, "every class of val/ .* 'c' in"),
        ({"train/a": 3, "train/b": 3, "Train/a": 3, "test/a": 1}, "'Train' and 'train', and one of them"),
        ({"test/a": 3, "test/b": 3, "val/a": 3}, "no train/ with folders"),
        ({"2023/a": 3, "2023/b": 3, "2024/a": 3, "2024/b": 3}, r"no images but the same folders \('a', 'b'\)"),
    ],
)
def test_layouts_that_mean_something_else_are_refused(tmp_path, counts, rule):
    with pytest.raises(HwnasError, match=rule):
        folder_source(make_folder(tmp_path, counts))


# ---- names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"caf\xe9", r"'caf\\udce9' .* bytes that are not UTF-8.* Rename"),
        (b"two\nlines", r"'two\\nlines' .* a control character"),
        (b"tab\t", r"'tab\\t' .* a control character"),
        ("line\u2028".encode(), r"'line\\u2028' .* a line break"),
        (b"  ", "'  ' .* nothing but blanks"),
        (b"dog ", "'dog' and 'dog ' .* look the same"),
    ],
)
def test_names_that_a_list_of_labels_cannot_hold_are_refused(tmp_path, name, said):
    make_folder(tmp_path, TWO)
    path = path_of_bytes(tmp_path, name)
    path.mkdir()
    for index in range(3):
        noise(index).save(path / f"{index}.png")
    with pytest.raises(HwnasError, match=said) as raised:
        load_data(tmp_path, 8, workers=0)
    str(raised.value).encode()  # can be printed anywhere


def test_composed_and_decomposed_letters_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    make_folder(tmp_path, {f"train/{decomposed}": 5, "train/dog": 5, f"test/{composed}": 2})
    source = folder_source(tmp_path)
    assert source.classes == (composed, "dog") and {image.label for image in source.test} == {0}
    make_folder(tmp_path, {f"train/{composed}": 5})
    with pytest.raises(HwnasError, match=r"'cafe\\u0301' and 'caf\\xe9' .* look the same"):
        folder_source(tmp_path)


def test_file_names_that_are_not_utf8_break_nothing(tmp_path):
    make_folder(tmp_path, {"cat": 20, "dog": 20})
    noise(7).save(path_of_bytes(tmp_path / "cat", b"\xe9.png"), "PNG")
    path_of_bytes(tmp_path / "cat", b"\xe8.png").write_bytes(b"no image")
    path_of_bytes(tmp_path / "cat", b"\xe8.heic").write_bytes(b"no image")
    with pytest.warns(DataWarning) as said:
        data = load_data(tmp_path, 8, workers=0)
        list(data.test_batches())
    assert sum(data.counts.values()) == 41 and len(data.digest) == 64
    assert all(str(each.message).isprintable() for each in said)
    write_json(tmp_path / "report.json", data.findings.to_json() | {"folder": str(path_of_bytes(tmp_path, b"\xe9"))})
    assert read_json(tmp_path / "report.json", "it")["folder"] == str(path_of_bytes(tmp_path, b"\xe9"))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://example.com/photos.zip", "is an address. Download it, unpack it"),
        ("photos.tar.gz", "is an archive. Unpack it"),
        ("dangling", "is a link to nowhere"),
        ("~nobody-of-this-name/photos", "is not there"),
        ("a\0b", "is not there"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_paths_that_are_no_folders_say_what_to_do(tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    Path("photos.tar.gz").write_bytes(b"something")
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(HwnasError, match=said):
        load_data(path, 8)


# ---- unequal classes


def test_unequal_classes_are_said_and_balance_draws_the_small_ones_more_often(tmp_path):
    make_folder(tmp_path, {"train/cat": 40, "train/dog": 10, "val/cat": 2, "val/dog": 2, "test/cat": 2, "test/dog": 2})
    with pytest.warns(DataWarning, match=r"classes are unequal: 'dog' has 10 training images, 'cat' 40"):
        plain = load_data(tmp_path, 8, workers=0, batch_size=10)
    with pytest.warns(DataWarning):
        even = load_data(tmp_path, 8, workers=0, batch_size=10, balance=1.0)

    def dogs(data) -> float:
        labels = [int(label) for epoch in range(20) for _, batch in data.train_batches(epoch) for label in batch]
        return sum(label == data.classes.index("dog") for label in labels) / len(labels)

    assert dogs(plain) == pytest.approx(0.2)
    assert dogs(even) == pytest.approx(0.5, abs=0.06)


def test_classes_that_are_nearly_equal_are_not_worth_a_word(tmp_path, recwarn):
    make_folder(tmp_path, {"train/cat": 14, "train/dog": 6, "val/cat": 2, "val/dog": 2, "test/cat": 2, "test/dog": 2})
    assert load_data(tmp_path, 8, workers=0).findings.unequal == ""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_classes_and_images_are_in_one_order_on_every_machine(tmp_path, form):
    """macOS decomposes letters: an A and two dots come before B, the letter of both behind Z."""
    for name in ("\u00c4rmel", "Bluse", "Zopf"):
        for split in ("train", "test"):
            folder = tmp_path / split / unicodedata.normalize(form, name)
            folder.mkdir(parents=True)
            for image in ("\u00e4.png", "b.png", "z.png"):
                picture = Image.new("RGB", (8, 8), (ord(image[0]) % 256, len(name), 3))
                picture.save(folder / unicodedata.normalize(form, image))
    found = folder_source(tmp_path)
    assert found.classes == ("Bluse", "Zopf", "\u00c4rmel")
    names = [unicodedata.normalize("NFC", image.name) for image in found.train]
    assert names[:3] == [f"train/Bluse/{name}" for name in ("b.png", "z.png", "\u00e4.png")]


def test_a_data_set_one_folder_further_down_is_named(tmp_path):
    make_folder(tmp_path / "download" / "photos" / "train", {"a": 2, "b": 2})
    with pytest.raises(HwnasError, match=r"has only 'photos'\. Name .*/download/photos\."):
        folder_source(tmp_path / "download")
    make_folder(tmp_path / "alone", {"a": 2})
    with pytest.raises(HwnasError, match=r"has only 'a'\. Move the images into"):
        folder_source(tmp_path / "alone")
