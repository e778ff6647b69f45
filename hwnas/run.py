"""The Run: a folder in which a command keeps its configuration, its progress and its results.

``run.json`` holds the configuration and the versions it was started with, ``metrics.jsonl`` one line per logged step,
``probabilities.jsonl`` those of the candidates at some of them (`hwnas.searches.deriving.search_with`).
A command that finds its own run goes on with it; a folder of another configuration is refused and left as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import read_json, sync, write_atomically, write_json
from hwnas.locks import LOCK_FILE, FolderLock
from hwnas.records import append_record, read_records, record_line
from hwnas.temporary import FILES

RUN_FILE, METRICS_FILE, PROBABILITIES_FILE = "run.json", "metrics.jsonl", "probabilities.jsonl"
FRONTIER_FOLDER, COMPARED_FOLDER, SEARCHED_FOLDER = "frontier", "compared", "searched"
"""Of a network for each budget, the known networks, and what was found where one of them is returned."""
LOGS = (METRICS_FILE, PROBABILITIES_FILE)
"""Files of records with a ``step`` each."""

DECIDES_NOTHING = {"workers", "train_threads"}
"""Values of a configuration that are recorded, and may differ when the run goes on."""

UNSAID: tuple[Any, ...] = (None, False, "auto", {}, [])
"""Values of an entry that mean the same as none: earlier versions did not have all entries."""

PLACES = {"data", "device", "latency", "tables", "sustained", "pretrained"}
"""Entries of a configuration that may be paths: two that lead to one file or folder are the same."""

NO_PATHS = {"digits", "none", "lite0"}
"""Values of such entries that hwnas knows by these names."""

CONTENTS = {"images": "the images have changed", "latencies": "the latencies have changed"}
"""Entries of a configuration that stand for files: objects of JSON, with a ``sha256``."""

PACKAGES = ("hwnas", "torch", "numpy", "ai-edge-litert", "onnxruntime")


def place(name: str, value: Any) -> Any:
    """The value of an entry of a configuration; if it is a path, as it leads from the current folder to where it ends.

    So ``data``, ``./data``, its absolute path and a link to it are one, and a folder that is moved with its data and
    its runs knows them. Names of images and devices that are no paths are left as they are.
    """
    is_path = name in PLACES and isinstance(value, str) and value not in NO_PATHS
    if not is_path or (name == "device" and not value.endswith(".toml")):
        return value
    try:
        return "./" + os.path.relpath(Path(value).expanduser().resolve())
    except (RuntimeError, ValueError):  # no such ~user; a NUL byte; another drive of Windows
        return value


def package_versions(others: Sequence[str] = ()) -> dict[str, str | None]:
    """Versions of the packages that decide a result, and of `others`; None where one is not installed."""
    versions: dict[str, str | None] = {}
    for package in (*PACKAGES, *others):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


class Run:
    """A run folder, opened to be continued or started. No other process can open it as long as this object lives.

    Args:
        folder: created if absent.
        config: what decides the result, and what `DECIDES_NOTHING`, JSON values only. A run of another configuration is
            refused.

    Raises:
        HwnasError: the folder belongs to another configuration, is in use, is damaged, or cannot be written.
    """

    def __init__(self, folder: Path | str, config: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        path = self.folder / RUN_FILE
        if not path.exists():
            self._check_empty()
        self._lock = FolderLock(self.folder)
        if path.exists():
            self._check_same(read_json(path, "the run", "Restore it, or name another folder for a new run"))
        else:
            write_json(path, {"config": self.config, "versions": package_versions()})

    def _check_empty(self) -> None:
        """Make the folder, or raise HwnasError if it holds more than a start that was killed has left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = [
                e for e in self.folder.iterdir() if e.name not in (RUN_FILE, LOCK_FILE) and not FILES.fullmatch(e.name)
            ]
        except OSError as error:
            raise HwnasError(f"cannot make the run folder {self.folder}: {error.strerror}. Name another.") from None
        if others:
            raise HwnasError(
                f"{self.folder} holds other files and no {RUN_FILE}, so it is no run folder; name a new folder."
            )

    @classmethod
    def of_another_process(cls, folder: Path | str, config: dict[str, Any]) -> Run:
        """The run that another process has opened, for one that works with it and neither reads nor writes there."""
        run = cls.__new__(cls)
        run.folder, run.config = Path(folder), json.loads(json.dumps(config))
        return run

    def _check_same(self, found: Any) -> None:
        old = found.get("config") if isinstance(found, dict) else None
        if not isinstance(old, dict):
            raise HwnasError(f"{self.folder / RUN_FILE} is damaged. Restore it, or name another folder for a new run.")
        if found := _differences(old, self.config):
            raise HwnasError(
                f"{self.folder} is the run of another configuration ({'; '.join(found)}). Name another folder, "
                "or repeat that configuration to go on with it."
            )

    def log(self, record: dict[str, Any], file: str = METRICS_FILE) -> None:
        """Append one line to the metrics, or another of `LOGS`. Raises HwnasError if the disk is full or read-only."""
        append_record(self.folder / file, record)

    def metrics(self) -> list[dict[str, Any]]:
        """Every logged record in order, without a last line that was cut off. Raises HwnasError for a damaged one."""
        return self._logged(METRICS_FILE)

    def _logged(self, file: str) -> list[dict[str, Any]]:
        path = self.folder / file
        records = read_records(path)
        for number, record in enumerate(records, start=1):
            if not isinstance(record.get("step"), int):
                raise HwnasError(
                    f"{path}, line {number}, is damaged: it names no step. Restore the file, or delete it."
                )
        return records

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`: the run goes on from a checkpoint taken there."""
        for file in LOGS:
            if file == METRICS_FILE or (self.folder / file).exists():
                self._keep(file, "".join(record_line(each) for each in self._logged(file) if each["step"] <= step))

    def _keep(self, file: str, text: str) -> None:
        write_atomically(self.folder / file, lambda path: path.write_text(text, encoding="utf-8"))

    def sync(self) -> None:
        """Wait until what was logged is on the disk: a checkpoint that is taken now must not be ahead of it."""
        for file in LOGS:
            if (self.folder / file).exists():
                sync(self.folder / file)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The differences that keep two configurations from being one run, for people."""
    found = []
    for name in sorted((old.keys() | new.keys()) - DECIDES_NOTHING):
        before, now = old.get(name), new.get(name)
        if before == now or place(name, before) == place(name, now):
            continue
        if (name not in old or name not in new) and before in UNSAID and now in UNSAID:
            continue
        if name in CONTENTS and isinstance(before, dict) and isinstance(now, dict):
            what = _differences(before | {"sha256": ""}, now | {"sha256": ""})
            found.append(f"{CONTENTS[name]} since: {', '.join(what) or 'as many, of another content'}")
        else:
            found.append(f"{name}: {before!r} there, {now!r} now")
    return found
