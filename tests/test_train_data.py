"""The images a search trains on: every kind of file, broken ones, the three splits, and batches that can be resumed."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import struct
import tarfile
import zlib
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from hwnas.errors import HwnasError, UsageError
from hwnas.run import Run
from hwnas.train.augmentation import AUGMENTATIONS
from hwnas.train.data import ImageData, load_data
from hwnas.train.division import LabelledImage, split_test, split_validation, stable_fraction
from hwnas.train.images import BrokenImageError, ImageReader, decode_file
from hwnas.train.loop import train
from hwnas.train.sources import digits_source, folder_source
from tests.image_files import make_folder, save_noise
from tests.weekly import weekly_except

CIFAR = Path(os.environ.get("HWNAS_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "cifar10-images.tar.xz"


def same_batches(first, second) -> bool:
    pairs = list(zip(first, second, strict=True))
    return bool(pairs) and all(torch.equal(a, b) and torch.equal(la, lb) for (a, la), (b, lb) in pairs)


# ---- one file


@pytest.mark.parametrize(
    ("mode", "color", "suffix", "expected"),
    [
        ("RGB", (10, 20, 30), ".bmp", (10, 20, 30)),
        ("L", 100, ".png", (100, 100, 100)),
        ("1", 1, ".png", (255, 255, 255)),
        ("I;16", 100 * 257, ".png", (100, 100, 100)),
        ("P", 1, ".gif", (200, 10, 60)),
        ("LA", (100, 255), ".png", (100, 100, 100)),
        ("RGBA", (10, 20, 30, 255), ".webp", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), ".png", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), ".png", (204, 204, 204)),
        ("CMYK", (0, 255, 255, 0), ".jpg", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, color, suffix, expected):
    image = Image.new(mode, (12, 9), color)
    if mode == "P":
        image.putpalette([0, 0, 0, 200, 10, 60])
    image.save(tmp_path / f"x{suffix}", lossless=True)
    pixels = decode_file(tmp_path, f"x{suffix}", 8)
    assert pixels.shape == (3, 8, 8) and pixels.dtype == np.uint8
    # the path through CMYK and JPEG is exact to a few grey levels only
    assert np.abs(pixels.astype(int) - np.reshape(expected, (3, 1, 1))).max() <= (3 if mode == "CMYK" else 0)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 10, 60])
    image.save(tmp_path / "x.png", transparency=1)
    assert (decode_file(tmp_path, "x.png", 8) == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", (8, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    image.save(tmp_path / "x.jpg", exif=exif, quality=95, subsampling=0)
    red, _, blue = decode_file(tmp_path, "x.jpg", 16)
    assert (red[:8] > 240).all() and (blue[:8] < 15).all()
    assert (red[8:] < 15).all() and (blue[8:] > 240).all()


def test_damaged_exif_does_not_make_an_image_broken(tmp_path):
    # orientation 6, and a tag that should be a number and is a text: Pillow turns the image, then stumbles over it
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01R\0\x02\0\0\0\x06\0\0\0&\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0maQer\0"
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", (8, 0, 16, 16))
    image.save(tmp_path / "x.jpg", exif=exif, quality=95, subsampling=0)
    assert decode_file(tmp_path, "x.jpg", 16)[0, :8].min() > 240


def test_the_centred_square_is_kept(tmp_path):
    for size, middle in (((24, 8), (8, 0, 16, 8)), ((8, 24), (0, 8, 8, 16))):
        image = Image.new("RGB", size, "red")
        image.paste("lime", middle)
        image.save(tmp_path / "x.png")
        pixels = decode_file(tmp_path, "x.png", 8)
        assert (pixels[1] == 255).all() and (pixels[[0, 2]] == 0).all()


def test_resizing_is_antialiased(tmp_path):
    checkerboard = ((np.indices((64, 64)).sum(axis=0) % 2) * 255).astype(np.uint8)
    Image.fromarray(checkerboard).save(tmp_path / "x.png")
    assert np.abs(decode_file(tmp_path, "x.png", 8).astype(int) - 127).max() <= 3


def test_an_image_of_the_right_size_is_left_as_it_is(tmp_path):
    save_noise(tmp_path / "x.png", size=(16, 16))
    expected = np.asarray(Image.open(tmp_path / "x.png")).transpose(2, 0, 1)
    assert np.array_equal(decode_file(tmp_path, "x.png", 16), expected)


def test_a_photo_decoded_at_a_fraction_of_its_size_looks_the_same(tmp_path):
    y, x = np.mgrid[0:1024, 0:1280]
    waves = np.stack([128 + 100 * np.sin(x / 90), 128 + 100 * np.cos(y / 70), (x + y) / 9], axis=2)
    image = Image.fromarray(waves.clip(0, 255).astype(np.uint8))
    image.save(tmp_path / "x.jpg", quality=95)
    image.save(tmp_path / "x.png")
    difference = decode_file(tmp_path, "x.jpg", 64).astype(int) - decode_file(tmp_path, "x.png", 64)
    assert np.abs(difference).mean() < 1.5


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and ends where its pixels should begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x10IDAT"
    )


def broken_files(folder: Path) -> dict[str, str]:
    """Write one broken file of each kind; returns name -> a word of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = save_noise(folder / "whole.jpg", size=(64, 64)).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("this is no image\n")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(png_header(20000, 20000))
    (folder / "headless.png").write_bytes(png_header(10, 10))
    (folder / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    return {
        "cut.jpg": "truncated",
        "text.jpg": "not an image",
        "empty.png": "not an image",
        "bomb.png": "decompression bomb",
        "headless.png": "truncated",
        "script.jpg": "not an image",
        "dangling.jpg": "No such file",
    }


def test_each_kind_of_broken_file_has_its_reason(tmp_path):
    for name, reason in broken_files(tmp_path).items():
        with pytest.raises(BrokenImageError, match=reason):
            decode_file(tmp_path, name, 8)


# ---- folders


def test_one_level_is_divided_by_a_hash_of_the_name(tmp_path):
    assert stable_fraction("cat/1.jpg") == pytest.approx(0x32018DAFBDE900D2 / 2**64)  # printf 'cat/1.jpg' | b2sum -l 64
    assert stable_fraction("caf\u00e9") == stable_fraction("cafe\u0301")  # as Linux and as macOS write it
    source = folder_source(make_folder(tmp_path, {"dog": 12, "cat": 12}))
    assert source.classes == ("cat", "dog")
    assert sorted(image.name for image in source.test) == ["cat/5.png", "dog/11.png", "dog/5.png", "dog/9.png"]
    assert {image.label for image in source.test if image.name.startswith("dog")} == {1}
    assert len(source.train) == 20


def test_the_digits_are_those_of_scikit_learn():
    digits, theirs = digits_source(), load_digits()
    names = [image.name for image in digits.train + digits.test]
    for name in names[::100]:
        label, index = map(int, name.split("/"))
        assert theirs.target[index] == label
        decoded = digits.decode(name, 8)
        assert np.array_equal(decoded[0], np.rint(theirs.images[index] * (255 / 16)).astype(np.uint8))
    assert len(names) == len(theirs.target)


def test_about_a_fifth_is_test_and_each_side_gets_one():
    digits = digits_source()
    assert 0.17 < len(digits.test) / 1797 < 0.23
    for count in range(2, 8):
        for label in range(20):
            names = [LabelledImage(f"{label}/{index}.jpg", 0) for index in range(count)]
            train, test = split_test(names)
            assert train and test and sorted(train + test) == sorted(names)


def test_two_levels_with_all_extensions_and_what_is_ignored(tmp_path):
    for extension in ("jpg", "JPEG", "png", "bmp", "webp", "Gif"):
        save_noise(tmp_path / "train" / "b" / f"x.{extension}")
        save_noise(tmp_path / "train" / "a" / f"x.{extension}")
    save_noise(tmp_path / "test" / "b" / "x.jpg")
    (tmp_path / "train" / "a" / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "train" / "a" / "notes.txt").write_text("notes")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "a" / "folder.jpg").mkdir()
    data = load_data(tmp_path, 8, workers=0)
    assert data.classes == ("a", "b")
    assert data.counts == {"train": 10, "val": 2, "test": 1}
    assert [labels.tolist() for _, labels in data.test_batches()] == [[1]]
    assert data.skipped == {}


def test_a_class_may_be_called_train(tmp_path):
    assert folder_source(make_folder(tmp_path, {"train": 3, "bus": 3})).classes == ("bus", "train")


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        ({}, "has no subfolder"),
        ({"cat": 5}, "has only 'cat'"),
        ({"cat": 5, "dog": 1}, r"at least two images, and '.*dog' holds 1 "),
        ({"train/cat": 3, "train/dog": 3}, "has train/ but no test/"),
        ({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/fox": 1}, "'fox' in .* is not"),
    ],
)
def test_folders_that_cannot_be_learnt_from(tmp_path, counts, rule):
    with pytest.raises(HwnasError, match=rule):
        load_data(make_folder(tmp_path, counts), 8, workers=0)


def test_missing_folders_and_files_in_their_place(tmp_path):
    with pytest.raises(HwnasError, match=r"'.*absent' is not there"):
        load_data(tmp_path / "absent", 8)
    with pytest.raises(HwnasError, match="is a file"):
        load_data(save_noise(tmp_path / "x.png"), 8)
    make_folder(tmp_path / "two", {"train/cat": 3, "train/dog": 3})
    (tmp_path / "two" / "test").mkdir()
    with pytest.raises(HwnasError, match="holds no image"):
        load_data(tmp_path / "two", 8)
    with pytest.raises(HwnasError, match="give the folder a val/ of its own"):
        load_data(make_folder(tmp_path / "tiny", {"cat": 2, "dog": 2}), 8, workers=0)
    tiny = load_data(tmp_path / "tiny", 8, workers=0, val_fraction=0)
    assert tiny.counts == {"train": 2, "val": 0, "test": 2} and list(tiny.val_batches()) == []
    assert tiny.splits_read == {"train"}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX systems only")
def test_an_unreadable_folder(tmp_path):
    make_folder(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "dog").chmod(0)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        with pytest.raises(HwnasError, match=r"cannot be read: Permission denied.*permissions"):
            load_data(tmp_path, 8)
    finally:
        if was_root:
            os.seteuid(0)
        (tmp_path / "dog").chmod(0o755)


# ---- broken files in a folder


@pytest.mark.parametrize("memory_share", [0.25, 0.0])
def test_a_few_broken_files_are_left_out_and_counted(tmp_path, memory_share):
    counts = {"train/cat": 40, "train/dog": 40, "test/cat": 20, "test/dog": 20}
    make_folder(tmp_path, counts)
    names = broken_files(tmp_path / "train" / "cat")
    (tmp_path / "test" / "dog" / "0.png").write_text("no image")
    data = load_data(tmp_path, 8, workers=0, memory_share=memory_share)
    skipped = data.skipped["train/cat"]
    assert skipped.count == len(names) == 7 and len(skipped.first) == 3
    assert all(text.startswith("'train/cat/") for text in skipped.first)
    # 47 + 40 files are divided, then the broken ones fall out of either part
    assert data.counts["train"] + data.counts["val"] == 80 and data.counts["test"] == 40
    assert sum(len(labels) for _, labels in data.test_batches()) == 39
    assert data.counts["test"] == 39 and data.skipped["test/dog"].count == 1


def test_broken_test_images_are_known_before_anything_is_trained(tmp_path):
    make_folder(tmp_path, {"train/cat": 9, "train/dog": 9, "test/cat": 4, "test/dog": 4})
    data = load_data(tmp_path, 8, workers=0, val_fraction=0.2)
    data.check_test()
    assert data.splits_read == {"train", "val"}  # nothing was kept
    (tmp_path / "test" / "cat" / "0.png").write_text("no image")
    data = load_data(tmp_path, 8, workers=0, val_fraction=0.2)
    with pytest.raises(HwnasError, match=r"1 of 8 images .*'test/cat/0.png' \(not an image.*Repair or remove"):
        data.check_test()


def test_too_many_broken_files_stop_the_run(tmp_path):
    make_folder(tmp_path, {"train/cat": 9, "train/dog": 9, "test/cat": 3, "test/dog": 3})
    for index in range(2):
        (tmp_path / "train" / "cat" / f"{index}.png").write_text("no image")
    load_kwargs = {"workers": 0, "val_fraction": 0.2}
    with pytest.raises(HwnasError, match=r"2 of 18 images .* 10% .*'train/cat/0.png' \(not an image.*Repair or remove"):
        load_data(tmp_path, 8, **load_kwargs)
    save_noise(tmp_path / "train" / "cat" / "0.png")
    assert load_data(tmp_path, 8, **load_kwargs).skipped["train/cat"].count == 1


def test_a_class_without_readable_images_is_refused(tmp_path):
    make_folder(tmp_path, {"train/cat": 40, "train/dog": 2, "test/cat": 1})
    for index in range(2):
        (tmp_path / "train" / "dog" / f"{index}.png").write_text("no image")
    with pytest.raises(HwnasError, match=r"class 'dog' .* no training image"):
        load_data(tmp_path, 8, workers=0)


def test_a_file_that_disappears_while_training(tmp_path):
    data = load_data(make_folder(tmp_path, {"cat": 6, "dog": 6}), 8, workers=0, memory_share=0)
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(HwnasError, match="could be read when training began, and cannot be now: No such file"):
        list(data.train_batches(0))


def test_a_worker_that_dies_is_reported(tmp_path):
    make_folder(tmp_path, {"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        for index in range(1, 1500):
            os.link(tmp_path / name / "0.png", tmp_path / name / f"{index}.png")
    before = set(psutil.Process().children())

    def kill_workers(done: int, total: int) -> None:
        for child in set(psutil.Process().children()) - before:
            child.kill()

    with pytest.raises(HwnasError, match=r"process that decodes images has ended.*workers=0"):
        load_data(tmp_path, 8, workers=1, progress=kill_workers)


def test_ctrl_c_is_left_to_the_process_that_trains(tmp_path):
    """A terminal gives it to the workers, too; one that it ended would look like one that ran out of memory."""
    make_folder(tmp_path, {"cat": 300, "dog": 300})
    before, told = set(psutil.Process().children()), []

    def interrupt_workers(done: int, total: int) -> None:
        for child in set(psutil.Process().children()) - before:
            child.send_signal(signal.SIGINT)
            told.append(child)

    assert load_data(tmp_path, 8, workers=1, progress=interrupt_workers).counts["train"] > 0
    assert told


# ---- the splits


def test_digits_are_what_scikit_learn_carries():
    data = load_data("digits", 16, batch_size=100, workers=0)
    assert data.classes == tuple("0123456789")
    whole = load_data("digits", 16, batch_size=data.counts["train"], workers=0)  # no part of a batch is left out
    batches = [*whole.train_batches(0), *data.val_batches(), *data.test_batches()]
    labels = Counter(torch.cat([labels for _, labels in batches]).tolist())
    assert [labels[digit] for digit in range(10)] == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert sum(data.counts.values()) == 1797
    assert data.mean[0] == data.mean[1] == data.mean[2] == pytest.approx(4.884 / 16, rel=0.02)


def test_grey_levels_of_digits_reach_from_black_to_white():
    source = digits_source()
    pixels = np.stack([source.decode(image.name, 8) for image in source.train[:20]])
    assert pixels.min() == 0 and pixels.max() == 255
    assert source.decode("0/0000", 8)[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0, of 16


def test_training_images_are_normalised():
    data = load_data("digits", 16, batch_size=100, limit_train=1000, augment="none")
    images = torch.cat([images for images, _ in data.train_batches(0)])
    assert images.dtype == torch.float32 and images.shape == (1000, 3, 16, 16)
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (images.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4


def test_splits_are_disjoint_and_the_seed_moves_val_only():
    source = digits_source()
    train, val = split_validation(source.train, 0.1, None, seed=0)
    assert sorted(train + val) == sorted(source.train) and not set(train) & set(val)
    assert not set(source.test) & set(source.train)
    assert split_validation(source.train, 0.1, None, seed=0) == (train, val)
    other_val = split_validation(source.train, 0.1, None, seed=1)[1]
    assert len(set(val) & set(other_val)) < len(val) / 2
    assert set(Counter(image.label for image in val).values()) <= set(range(12, 18))
    # mixed: the first images hold many classes
    assert len({image.label for image in val[:20]}) >= 6


def test_limit_train_is_balanced_nested_and_leaves_val_alone():
    source = digits_source()
    everything, val = split_validation(source.train, 0.1, None, seed=3)
    small, small_val = split_validation(source.train, 0.1, 50, seed=3)
    large, _ = split_validation(source.train, 0.1, 101, seed=3)
    assert small_val == val and set(small) < set(large) < set(everything)
    assert set(Counter(image.label for image in small).values()) == {5}
    assert sorted(Counter(image.label for image in large).values()) == [10] * 9 + [11]
    assert split_validation(source.train, 0.1, 10**6, seed=3) == (everything, val)
    uneven = [
        LabelledImage(f"{label}/{index}", label) for label, size in enumerate((2, 50, 9)) for index in range(size)
    ]
    kept, _ = split_validation(uneven, 0, 31, seed=0)
    assert Counter(image.label for image in kept) == {0: 2, 1: 20, 2: 9}


def test_test_files_are_not_opened_before_they_are_asked_for(tmp_path):
    make_folder(tmp_path, {"train/cat": 10, "train/dog": 10, "test/cat": 5, "test/dog": 5})
    for path in (tmp_path / "test").rglob("*.png"):
        path.write_text("opening this would be noticed")
    data = load_data(tmp_path, 8, workers=0, batch_size=4)
    assert [*data.train_batches(0)] and [*data.val_batches()]
    assert data.splits_read == {"train", "val"} and data.skipped == {} and data.counts["test"] == 10
    with pytest.raises(HwnasError, match="10 of 10 images"):
        data.test_batches()
    assert data.splits_read == {"train", "val", "test"}


# ---- batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("images"), {"cat": 60, "dog": 50, "fox": 40}, suffix=".jpg")


def load_folder(folder: Path, **options) -> ImageData:
    return load_data(folder, 16, **{"batch_size": 10, "workers": 0, "seed": 5, **options})


def test_kept_or_decoded_anew_alone_or_by_workers_the_numbers_are_the_same(folder):
    kept = load_folder(folder)
    for options in ({"memory_share": 0.0}, {"memory_share": 0.0, "workers": 2}, {"workers": 2}):
        other = load_folder(folder, **options)
        assert (other.mean, other.std, other.counts) == (kept.mean, kept.std, kept.counts)
        assert same_batches(kept.train_batches(1), other.train_batches(1))
        assert same_batches(kept.val_batches(), other.val_batches())
        assert same_batches(kept.test_batches(), other.test_batches())


@pytest.mark.parametrize("options", [{}, {"memory_share": 0.0, "workers": 2}])
def test_an_epoch_resumes_bit_for_bit(folder, options):
    torch.manual_seed(1)
    whole = list(load_folder(folder, **options).train_batches(3))
    torch.manual_seed(2)
    resumed = load_folder(folder, **options)
    assert len(whole) == resumed.steps_per_epoch == resumed.counts["train"] // 10
    for step in (1, len(whole) - 1):
        assert same_batches(whole[step:], resumed.train_batches(3, step))
    assert list(resumed.train_batches(3, len(whole))) == []


def test_torch_s_global_random_state_is_left_alone(folder):
    for options in ({}, {"memory_share": 0.0, "workers": 1}):
        state = torch.get_rng_state()
        data = load_folder(folder, **options)
        for _ in data.train_batches(0):
            assert torch.equal(torch.get_rng_state(), state)
        assert [*data.val_batches(), *data.test_batches()]
        assert torch.equal(torch.get_rng_state(), state)


def test_epochs_and_seeds_differ_and_an_epoch_sees_every_image_once(folder):
    data = load_folder(folder, augment="none", batch_size=1)
    first, second = ([images for images, _ in data.train_batches(epoch)] for epoch in (0, 1))
    other_seed = [images for images, _ in load_folder(folder, augment="none", batch_size=1, seed=6).train_batches(0)]
    assert not same_batches([(i, i) for i in first], [(i, i) for i in second])
    assert not torch.equal(first[0], other_seed[0])
    assert {image.numpy().tobytes() for image in first} == {image.numpy().tobytes() for image in second}
    assert len({image.numpy().tobytes() for image in first}) == data.counts["train"]


def test_fewer_images_than_a_batch_make_one_batch(folder):
    data = load_folder(folder, limit_train=7)
    assert data.steps_per_epoch == 1 and [len(labels) for _, labels in data.train_batches(0)] == [7]


def crops(image: torch.Tensor, padding: int) -> torch.Tensor:
    """Every crop of the image (3, H, W) in 0..1 with a black border of `padding`, in (number, 3, H, W)."""
    side = image.shape[-1]
    padded = torch.nn.functional.pad(image, (padding,) * 4)
    offsets = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
    return torch.stack([padded[:, y : y + side, x : x + side] for y, x in offsets])


@pytest.mark.parametrize("augment", ["crop", "flip-crop"])
def test_augmented_images_are_crops_of_the_originals(folder, augment):
    plain = load_folder(folder, augment="none")
    augmented = load_folder(folder, augment=augment)
    mean, std = torch.tensor(plain.mean).view(3, 1, 1), torch.tensor(plain.std).view(3, 1, 1)
    found = Counter()
    for (originals, labels), (images, same_labels) in zip(
        plain.train_batches(0), augmented.train_batches(0), strict=True
    ):
        assert torch.equal(labels, same_labels) and images.shape == originals.shape
        for original, image in zip(originals * std + mean, images * std + mean, strict=True):
            candidates = crops(original, padding=2)
            distances = [(candidates - turned).abs().amax(dim=(1, 2, 3)) for turned in (image, image.flip(-1))]
            flipped = int(distances[1].min() < distances[0].min())
            assert distances[flipped].min() < 1e-5
            found[flipped, int(distances[flipped].argmin())] += 1
    flips = sum(count for (flipped, _), count in found.items() if flipped)
    assert len({offset for _, offset in found}) > 12  # of 25
    assert flips == 0 if augment == "crop" else 0.3 < flips / found.total() < 0.7


def test_folders_are_flipped_and_digits_are_not(folder):
    assert same_batches(load_folder(folder).train_batches(0), load_folder(folder, augment="flip-crop").train_batches(0))
    digits, cropped = (
        load_data("digits", 8, limit_train=100, augment=augment, memory_share=0, workers=0).train_batches(0)
        for augment in (None, "crop")
    )
    assert same_batches(digits, cropped)


@pytest.mark.parametrize("augment", weekly_except(["crop", "photo"], AUGMENTATIONS))
def test_batches_are_augmented_on_the_device_that_trains(folder, augment):
    data = load_folder(folder, augment=augment)
    given = []
    data._augmentation.register_forward_pre_hook(lambda _module, images: given.append(images[0].device.type))
    # no GPU here: "meta" computes shapes only, and refuses to mix with tensors of the CPU as a GPU does
    batches = list(data.train_batches(0, torch_device="meta"))
    assert {tensor.device.type for batch in batches for tensor in batch} == {"meta"} == set(given)
    assert [images.shape for images, _ in batches] == [images.shape for images, _ in data.train_batches(0)]


class OnMeta:
    """A trainer on the device "meta", which notes where its batches are."""

    step_count, total_steps, net = 0, 2, nn.Linear(1, 1, device="meta")

    def __init__(self) -> None:
        self.devices: set[str] = set()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        self.devices |= {images.device.type, labels.device.type}
        self.step_count += 1
        return {"loss": 0.0}

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step_count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step_count = state["step"]


def test_the_loop_makes_its_batches_on_the_device_of_the_network(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas.train.loop._check_finite", lambda _: None)  # its weights have no values
    trainer = OnMeta()
    train(trainer, load_folder(folder), Run(tmp_path / "run", {}))
    assert trainer.devices == {"meta"}


def test_progress_counts_to_the_end(folder):
    calls: list[tuple[int, int]] = []
    data = load_folder(folder, progress=lambda done, total: calls.append((done, total)))
    total = data.counts["train"] + data.counts["val"]
    assert calls == [(64, total), (total, total)]
    list(data.test_batches())
    assert calls[-1] == (data.counts["test"],) * 2


def test_readers_can_be_sent_to_processes_that_share_no_memory(folder):
    for source in (folder_source(folder), digits_source()):
        reader = ImageReader(source.decode, 8, 0)
        name = source.train[0].name
        assert np.array_equal(pickle.loads(pickle.dumps(reader))[[name]].pixels, reader[[name]].pixels)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"resolution": 4}, "resolution, in pixels, must be a whole number of 8 or more, not 4"),
        ({"batch_size": 0}, "batch_size must be a whole number of 1 or more, not 0"),
        ({"val_fraction": 1.0}, "val_fraction must be from 0 to 0.9, not 1.0"),
        ({"seed": -1}, "seed must be a whole number of 0 or more, not -1"),
        ({"workers": -1}, "workers must be a whole number of 0 or more, not -1"),
        ({"memory_share": 2}, "memory_share must be from 0 to 1, not 2"),
        ({"augment": "mixup"}, "unknown augmentation 'mixup'; known: crop, cutout, flip-crop, none"),
        ({"limit_train": 9}, "each of the 10 classes an image; 9 is too few"),
    ],
)
def test_arguments_out_of_range(options, rule):
    with pytest.raises(UsageError, match=rule):
        load_data(**{"source": "digits", "resolution": 16, **options})


def test_steps_an_epoch_does_not_have(folder):
    data = load_folder(folder)
    for epoch, step in ((-1, 0), (0, -1), (0, data.steps_per_epoch + 1)):
        with pytest.raises(UsageError, match="there is no step"):
            data.train_batches(epoch, step)


# ---- real images


@pytest.mark.skipif(not CIFAR.exists(), reason=f"{CIFAR} is not there")
def test_real_images_of_cifar10(tmp_path):
    with tarfile.open(CIFAR, "r|xz") as archive:
        for member in islice((m for m in archive if m.name.endswith(".jpg")), 0, 2500, 25):
            archive.extract(member, tmp_path, filter="data")
    data = load_data(tmp_path / "test", 32, batch_size=10, workers=2)
    assert data.classes == ("airplane", "automobile", "bird")
    assert sum(data.counts.values()) == 100 and data.skipped == {}
    assert all(0.4 < mean < 0.6 for mean in data.mean) and all(0.2 < std < 0.3 for std in data.std)
    images, labels = next(data.val_batches())
    assert images.shape[1:] == (3, 32, 32) and labels.dtype == torch.int64
    path = tmp_path / "test" / "airplane" / "0000.jpg"
    expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
    assert np.array_equal(decode_file(path.parent, path.name, 32), expected)


# ---- the digest


def test_the_digest_is_of_names_labels_and_bytes_and_of_nothing_else(folder):
    data = load_folder(folder)
    assert len(data.digest) == 64 and data.splits_read == {"train", "val"}
    assert load_data(folder, 24, batch_size=7, workers=2, memory_share=0, seed=5).digest == data.digest
    list(data.test_batches())
    assert load_folder(folder, seed=6).digest != data.digest  # another validation split
    assert load_data("digits", 8, workers=0).digest == load_data("digits", 16, workers=2, batch_size=5).digest


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_digest_changes_with_every_kind_of_change(tmp_path, split):
    counts = {"train/cat": 6, "train/dog": 6, "test/cat": 3, "test/dog": 3}
    path = make_folder(tmp_path, counts) / split / "cat" / "1.png"
    digests = [load_data(tmp_path, 8, workers=0).digest]
    path.write_bytes(path.read_bytes() + b"\0")  # the same pixels, other bytes
    digests.append(load_data(tmp_path, 8, workers=0).digest)
    path.rename(path.with_name("9.png"))
    digests.append(load_data(tmp_path, 8, workers=0).digest)
    path.with_name("9.png").rename(tmp_path / split / "dog" / "9.png")
    digests.append(load_data(tmp_path, 8, workers=0).digest)
    assert len(set(digests)) == 4
    (tmp_path / split / "dog" / "9.png").rename(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert load_data(tmp_path, 8, workers=0).digest == digests[0]


def test_an_image_that_changes_while_training(tmp_path):
    data = load_data(make_folder(tmp_path, {"cat": 6, "dog": 6}), 8, workers=0, memory_share=0)
    for path in (tmp_path / "cat").iterdir():
        save_noise(path, seed=77)
    with pytest.raises(HwnasError, match=r"'cat/.*' has changed since training began"):
        list(data.train_batches(0))


def test_integers_of_16_bits_are_scaled_turned_round_where_they_are_to_be_and_others_are_refused(tmp_path):
    values = np.array([[0, 20_000, 40_000, 65_535]] * 4, np.uint16)
    Image.fromarray(values).save(tmp_path / "usual.tif")
    Image.fromarray(values).save(tmp_path / "white.tif", tiffinfo={262: 0})
    usual, white = (decode_file(tmp_path, name, 4)[0, 0].tolist() for name in ("usual.tif", "white.tif"))
    assert usual[0] < usual[-1] and white == [255 - value for value in usual]
    Image.fromarray(values.astype(np.int32) * 100).save(tmp_path / "many.tif")
    with pytest.raises(BrokenImageError, match="integers of an unknown range"):
        decode_file(tmp_path, "many.tif", 4)
