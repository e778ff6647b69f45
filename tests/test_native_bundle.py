"""Bundles: whole or not at all, kept, checked, and explained where they cannot be built."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.native.abi import ABIS, ARM64, Abi, abi_for, get_abi
from hwnas.native.bundle import (
    LICENCES,
    MANIFEST,
    PROGRAM,
    Bundle,
    build_bundle,
    bundles_folder,
    copy_bundle,
    open_bundle,
)
from hwnas.native.library import fetch_library, installed_library
from hwnas.native.toolchain import compile_hwbench, find_compiler, find_library
from hwnas.runtimes.files import file_sha256
from tests.commands import answer, completed
from tests.native_programs import QUICK, arm64_bundle, hwbench, own_abi, report
from tests.small_models import feature_net, model_bytes
from tests.weekly import weekly_except


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache with spaces" / "bundles"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_bundle(own_abi(), installed=True, cache=tmp_path_factory.mktemp("built") / "bundles")


@pytest.fixture
def bundle(built: Bundle, cache: Path) -> Bundle:
    """A copy of the one that was built, which a test may damage."""
    shutil.copytree(built.folder.parent, cache)
    return open_bundle(cache / built.folder.name)


def test_a_bundle_holds_all_that_the_program_needs(bundle: Bundle, tmp_path: Path) -> None:
    assert {file.name for file in bundle.folder.iterdir()} == {*bundle.files, MANIFEST, LICENCES}
    assert set(bundle.files) == {PROGRAM, bundle.library, *own_abi().libraries}
    for name, sha256 in bundle.files.items():
        assert file_sha256(bundle.folder / name) == sha256
        assert name in (bundle.folder / LICENCES).read_text()
    library, version = installed_library()
    assert (bundle.library_sha256, bundle.runtime_version) == (file_sha256(library), version)
    (tmp_path / "m.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    done = hwbench(bundle, "--model", tmp_path / "m.tflite", *QUICK, before=("env", "LD_DEBUG=files"))
    assert report(done)["runs_us"]
    used = {line.split("calling init: ")[1] for line in done.stderr.splitlines() if "calling init: /" in line}
    assert {Path(file).name for file in used} >= {bundle.library, "libc.so.6", "libstdc++.so.6"}
    assert {Path(file).parent for file in used} == {bundle.folder}, "nothing of the machine itself is used"


def test_the_bundle_for_phones(tmp_path: Path) -> None:
    bundle = arm64_bundle()
    assert (bundle.abi, bundle.architecture, bundle.runtime_version) == ("arm64", "aarch64", ARM64.wheel.version)
    assert bundle.library_sha256 == ARM64.wheel.library_sha256
    for name in (PROGRAM, bundle.library, *ARM64.libraries):
        header = (bundle.folder / name).read_bytes()[:20]
        assert header[:5] == b"\x7fELF\x02" and header[18:20] == b"\xb7\x00", f"{name} is not for aarch64"
        segments = subprocess.run(["readelf", "-lW", bundle.folder / name], capture_output=True, text=True, check=True)
        aligned = {int(line.split()[-1], 16) for line in segments.stdout.splitlines() if line.split()[:1] == ["LOAD"]}
        assert min(aligned) >= 16384, f"phones with pages of 16 KiB cannot load {name}"
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 20e6


def test_a_filled_cache_needs_neither_compiler_nor_network(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abi, written = own_abi(), (bundle.folder / MANIFEST).stat().st_mtime_ns
    monkeypatch.setenv("PATH", "")
    assert build_bundle(abi, installed=True, cache=cache) == bundle
    assert (bundle.folder / MANIFEST).stat().st_mtime_ns == written


def test_a_missing_compiler_is_named_with_its_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HwnasError, match=r"needs the compiler \S*cc, which is not installed .*apt install gcc"):
        build_bundle(ARM64, cache=cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    "change", weekly_except(["flip", "manifest"], ["flip", "cut", "remove", "manifest", "unknown field"])
)
def test_a_damaged_bundle_is_built_again(bundle: Bundle, cache: Path, change: str) -> None:
    victim = bundle.folder / ("libm.so.6" if change in ("flip", "cut", "remove") else MANIFEST)
    content = victim.read_bytes()
    if change == "flip":
        victim.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    elif change == "remove":
        victim.unlink()
    elif change == "unknown field":
        victim.write_text(json.dumps(json.loads(content) | {"later": 1}))
    else:
        victim.write_bytes(content[: len(content) // 2])
    with pytest.raises(HwnasError, match="bundle"):
        open_bundle(bundle.folder)
    assert build_bundle(own_abi(), installed=True, cache=cache) == bundle


def test_a_bundle_that_another_process_has_built_meanwhile_is_left_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads it would find a file missing, and call it damaged."""
    folder = tmp_path / "other" / bundle.folder.name

    def fill(part: Path, *_: object) -> None:
        for place in (part, folder):
            shutil.copytree(bundle.folder, place, dirs_exist_ok=True)

    monkeypatch.setattr("hwnas.native.bundle._fill", fill)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *_: pytest.fail("it was replaced"))
        found = build_bundle(own_abi(), installed=True, cache=folder.parent)
    assert found.folder == folder and [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_killed_build_leaves_no_half_bundle(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hwnas.native.abi import abi_for; "
        "from hwnas.native.bundle import build_bundle; print(flush=True); "
        f"build_bundle(abi_for({os.uname().machine!r}, ''), True, Path(sys.argv[1]))"
    )
    own_abi()
    moments = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code, str(cache)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for folder in cache.glob(f"{own_abi().name}-*"):
            assert open_bundle(folder).files
    assert report(hwbench(build_bundle(own_abi(), True, cache), "--model", _model(cache), *QUICK))["runs_us"]


def _model(folder: Path) -> Path:
    (folder / ".m.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    return folder / ".m.tflite"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HwnasError, match=r"cannot build a bundle in .*file.*XDG_CACHE_HOME"):
        build_bundle(own_abi(), installed=True, cache=tmp_path / "file" / "bundles")


def test_a_full_disk_leaves_nothing(full_disk: Path) -> None:
    with pytest.raises(HwnasError, match=r"No space left on device\. Make room"):
        build_bundle(own_abi(), installed=True, cache=full_disk)
    assert list(full_disk.iterdir()) == []


def test_the_wheel_is_fetched_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(**fields: str) -> Abi:
        return dataclasses.replace(ARM64, wheel=dataclasses.replace(ARM64.wheel, **fields))

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        HwnasError, match=r"pip could not fetch ai-edge-litert 1\.4\.0 for manylinux_2_17_aarch64: ERROR"
    ):
        fetch_library(ARM64, tmp_path / "library.so")
    wheel = tmp_path / "ai_edge_litert-9.9-cp311-cp311-manylinux_2_17_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(ARM64.wheel.member, b"a library")
        about = {
            "METADATA": "Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: 9.9\n",
            "WHEEL": "Wheel-Version: 1.0\n",
            "RECORD": "",
        }
        for name, content in about.items():
            archive.writestr(f"ai_edge_litert-9.9.dist-info/{name}", content)
    with pytest.raises(HwnasError, match=r"pip could not fetch ai-edge-litert 9\.9 .*HASHES"):
        fetch_library(changed(version="9.9", sha256="0" * 64), tmp_path / "library.so")
    assert not (tmp_path / "library.so").exists()
    fetch_library(changed(version="9.9", sha256=file_sha256(wheel)), tmp_path / "library.so")
    assert (tmp_path / "library.so").read_bytes() == b"a library"


def test_the_pinned_library_is_taken_from_the_installed_package_if_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    library, _ = installed_library()
    wheel = dataclasses.replace(ARM64.wheel, library_sha256=file_sha256(library))
    fetch_library(dataclasses.replace(ARM64, wheel=wheel), tmp_path / "library.so")
    assert file_sha256(tmp_path / "library.so") == file_sha256(library)


def test_compilers_that_lack_something(tmp_path: Path) -> None:
    compiler = find_compiler(own_abi())
    with pytest.raises(HwnasError, match=r"has no libnothing\.so\.9 for .*apt install"):
        find_library(compiler, "libnothing.so.9", own_abi())
    with pytest.raises(HwnasError, match=r"failed: .*unrecognized"):
        compile_hwbench(compiler, tmp_path / "hwbench", ("-fno-such-flag",))
    with pytest.raises(HwnasError, match=r"cannot start .*absent"):
        compile_hwbench(str(tmp_path / "absent"), tmp_path / "hwbench")


def test_names_of_abis() -> None:
    assert get_abi("arm64") is abi_for("aarch64", "a phone") is ARM64
    assert all(abi_for(abi.architecture, "") is abi for abi in ABIS.values())
    with pytest.raises(UsageError, match=r"unknown ABI 'armv7'; known: arm64, x86_64"):
        get_abi("armv7")
    with pytest.raises(HwnasError, match=r"native runs on aarch64, x86_64, and adb X says it is armv7l; .*benchmark"):
        abi_for("armv7l", "adb X")


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert bundles_folder() == tmp_path / ".cache" / "hwnas" / "bundles"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert bundles_folder() == Path("/somewhere/hwnas/bundles")


def test_copies(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy = copy_bundle(bundle, tmp_path / "out")
    assert copy == dataclasses.replace(bundle, folder=tmp_path / "out")
    with pytest.raises(UsageError, match="is there already and not an empty folder"):
        copy_bundle(bundle, tmp_path / "out")


def test_the_command_line(tmp_path: Path) -> None:
    arm64_bundle()
    told = answer("bundle", "--abi", "arm64", "--out", tmp_path / "out")
    assert told["abi"] == "arm64" and Path(told["folder"]) == tmp_path / "out"
    assert open_bundle(tmp_path / "out").to_json() == told
    again = completed("bundle", "--abi", "arm64", "--out", tmp_path / "out")
    assert (again.returncode, again.stdout) == (2, "") and "not an empty folder" in " ".join(again.stderr.split())
    assert "arm64, x86_64" in completed("bundle", "--abi", "riscv").stderr
