"""Pictures that are small files and large in memory: refused, or decoded in little more."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, PngImagePlugin

from hwnas.errors import HwnasError
from hwnas.train import memory
from hwnas.train.data import load_data
from hwnas.train.findings import DataWarning
from hwnas.train.images import BrokenImageError, ImageReader, decode_file
from tests.image_files import make_folder, noise

RGBA, GREY = 6, 0
MIB = 2**20
PEAK_RESET = Path("/proc/self/clear_refs")


def save_plain_png(path: Path, width: int, height: int, colour_type: int = RGBA, bits: int = 8) -> Path:
    """A PNG of one colour, written row by row: kilobytes for any size."""
    row = b"\0" + b"\x40" * (width * {RGBA: 4, GREY: 1}[colour_type] * bits // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0),
        b"IDAT": data,
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts.items()
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_a_picture_that_is_too_large_for_the_memory_is_refused_by_its_header(tmp_path):
    save_plain_png(tmp_path / "x.png", 3000, 2000)
    with pytest.raises(BrokenImageError, match=r"3000x2000 pixels take 69 MiB .* and 50 MiB are left .* smaller"):
        decode_file(tmp_path, "x.png", 8, most_bytes=50 * MIB)
    assert decode_file(tmp_path, "x.png", 8, most_bytes=70 * MIB).shape == (3, 8, 8)


def test_a_photo_needs_the_memory_of_the_size_it_is_decoded_at(tmp_path):
    noise(size=(1600, 1200)).save(tmp_path / "baseline.jpg")
    noise(size=(1600, 1200)).save(tmp_path / "progressive.jpg", progressive=True)
    assert decode_file(tmp_path, "baseline.jpg", 32, most_bytes=MIB).shape == (3, 32, 32)
    # its coefficients are all in memory, whatever it is decoded at
    with pytest.raises(BrokenImageError, match=r"1600x1200 pixels take 11 MiB"):
        decode_file(tmp_path, "progressive.jpg", 32, most_bytes=MIB)


@pytest.mark.skipif(not PEAK_RESET.exists(), reason="the peak of a process's memory can be reset on Linux only")
@pytest.mark.parametrize(("colour_type", "bits", "pixel_bytes"), [(RGBA, 8, 8), (GREY, 16, 6)])
def test_a_conversion_takes_little_beside_the_picture_and_its_result(tmp_path, colour_type, bits, pixel_bytes):
    """Bytes per pixel as stored, and 4 as RGB."""
    save_plain_png(tmp_path / "x.png", 4000, 4000, colour_type, bits)
    PEAK_RESET.write_text("5")
    before = peak_bytes()
    decode_file(tmp_path, "x.png", 8)
    assert (peak_bytes() - before) / 4000**2 < pixel_bytes + 1.5


def peak_bytes() -> int:
    """The most memory that this process had since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_strips_change_no_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 40, 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "x.png")
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    white.save(tmp_path / "white.png")
    assert np.array_equal(decode_file(tmp_path, "x.png", 32), decode_file(tmp_path, "white.png", 32))
    sixteen = np.random.default_rng(0).integers(0, 2**16, (700, 40), dtype=np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "16.png")
    Image.fromarray((sixteen >> 8).astype(np.uint8)).save(tmp_path / "8.png")
    assert np.array_equal(decode_file(tmp_path, "16.png", 32), decode_file(tmp_path, "8.png", 32))


def test_a_text_in_a_png_that_unpacks_to_gigabytes_is_refused(tmp_path):
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("x", "x" * 80 * MIB, zip=True)
    noise().save(tmp_path / "x.png", pnginfo=bomb)
    with pytest.raises(BrokenImageError, match="too large"):
        decode_file(tmp_path, "x.png", 8)


@pytest.mark.parametrize("size", [(1, 1), (30000, 1), (1, 30000), (3, 60000)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_of_any_shape_are_decoded(tmp_path, size, suffix):
    Image.new("RGB", size, "red").save(tmp_path / f"x.{suffix}")
    pixels = decode_file(tmp_path, f"x.{suffix}", 16)
    assert pixels.shape == (3, 16, 16) and pixels[0].min() > 250


@pytest.mark.parametrize("workers", [0, 1])
def test_memory_that_runs_out_is_one_clear_error(workers):
    def decode(name: str, resolution: int) -> np.ndarray:
        raise MemoryError

    with pytest.raises(HwnasError, match=r"has ended: .*MemoryError.* use fewer workers, or workers=0") as raised:
        list(ImageReader(decode, 8, workers).read([["a"], ["b"]]))
    assert "Traceback" not in str(raised.value)


def test_what_does_not_fit_into_the_memory_that_is_left_is_left_out_and_said(tmp_path):
    make_folder(tmp_path, {"cat": 20, "dog": 20})
    save_plain_png(tmp_path / "cat" / "large.png", 4000, 4000)
    whole = load_data(tmp_path, 8, workers=0, val_fraction=0.5)
    assert whole.skipped == {} and sum(whole.counts.values()) == 41
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 300 * MIB, limits[1]))
    try:
        with pytest.warns(DataWarning, match=r"1 file of 'cat', .*4000x4000 pixels take 183 MiB"):
            data = load_data(tmp_path, 8, workers=0, val_fraction=0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert sum(data.counts.values()) == 40 and data.digest != whole.digest


def test_files_that_a_container_has_read_are_no_memory_in_use(tmp_path, monkeypatch):
    for name, text in (("max", str(8 << 30)), ("current", str((8 << 30) - (2 << 20)))):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "CGROUPS", [(tmp_path, *memory.CGROUPS[0][1:])])
    assert memory.available_bytes() == 2 << 20
    (tmp_path / "memory.stat").write_text(f"anon 5\nactive_file {1 << 20}\ninactive_file {3 << 20}\n")
    assert memory.available_bytes() == 6 << 20
    monkeypatch.setattr(memory.distributed, "processes_here", lambda: 2)
    assert memory.available_bytes() == 3 << 20
