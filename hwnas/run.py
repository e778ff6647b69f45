"""The Run: a folder in which a command keeps what it was asked, how far it is, and what came out.

``run.json`` holds the configuration and the versions it was started with, ``metrics.jsonl`` one line per logged step.
A command that finds its own run goes on with it; a folder of another configuration is refused and left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_atomically, write_json
from hwnas.foreign import read_bytes

RUN_FILE, METRICS_FILE = "run.json", "metrics.jsonl"

PACKAGES = ("hwnas", "torch", "numpy", "ai-edge-litert", "onnxruntime")


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
    """A run folder, opened to be continued or started.

    Args:
        folder: created if absent.
        config: what decides the result, JSON values only. A run of another configuration is refused.

    Raises:
        HwnasError: the folder belongs to another configuration, is damaged, or cannot be written.
    """

    def __init__(self, folder: Path | str, config: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        if (self.folder / RUN_FILE).exists():
            self._check_same(read_json(self.folder / RUN_FILE, "the run"))
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise HwnasError(
                f"{self.folder} holds other files and no {RUN_FILE}, so it is no run folder; name a new folder."
            )
        else:
            write_json(self.folder / RUN_FILE, {"config": self.config, "versions": package_versions()})

    def _check_same(self, found: Any) -> None:
        old = found.get("config") if isinstance(found, dict) else None
        if not isinstance(old, dict):
            raise HwnasError(f"{self.folder / RUN_FILE} is damaged; delete the folder or name another one.")
        if old != self.config:
            differences = [
                f"{key}: {old.get(key)!r} there, {self.config.get(key)!r} now"
                for key in sorted(old.keys() | self.config.keys())
                if old.get(key) != self.config.get(key)
            ]
            raise HwnasError(
                f"{self.folder} is the run of another configuration ({'; '.join(differences)}). Name another folder, "
                "or repeat that configuration to go on with it."
            )

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the metrics. Raises HwnasError if the disk is full or read-only."""
        try:
            with (self.folder / METRICS_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise HwnasError(
                f"cannot write {self.folder / METRICS_FILE}: {error.strerror}. Make room and repeat the command: it "
                "goes on from the last checkpoint."
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Every logged record in order. A last line that was cut off is left out."""
        path = self.folder / METRICS_FILE
        if not path.exists():
            return []
        records = []
        for line in read_bytes(path, "the run's metrics").split(b"\n"):
            try:
                record = json.loads(line)  # with NaN: a loss can be that
            except (ValueError, RecursionError):
                break
            if not isinstance(record, dict) or not isinstance(record.get("step", 0), int):
                break
            records.append(record)
        return records

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`: the run goes on from a checkpoint taken there."""
        kept = [record for record in self.metrics() if record.get("step", 0) <= step]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(self.folder / METRICS_FILE, lambda path: path.write_text(text, encoding="utf-8"))
