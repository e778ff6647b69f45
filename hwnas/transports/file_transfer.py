"""The FileTransfer: files to a device and back, whole or not at all, and not again if they are there already."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.transports.base import DeviceError, DeviceFull, DeviceLost, DeviceTimeout
from hwnas.transports.health import free_bytes, room
from hwnas.transports.own_folder import PART, TOKEN_BYTES
from hwnas.transports.shell import CHECKSUM, cause, quoted
from hwnas.transports.shell_transport import SHORT_S, ShellTransport

SLOWEST_BYTES_PER_S = 300_000
"""A file may take as long as it needs at this speed, and `SHORT_S` more."""
TO_SPARE_BYTES = 2**20
"""So much must stay free beside a file: results need room too."""

OF_THE_DEVICE = re.compile(
    r"No space left|quota exceeded|Permission denied|Read-only file system|Operation not permitted|No such file|"
    r"Is a directory|Not a directory|File too large|File name too long|Input/output error",
    re.IGNORECASE,
)
"""The words of a copy that failed for another reason than the connection."""
OF_ROOM = re.compile(r"No space left|quota exceeded", re.IGNORECASE)


class FileTransfer(ShellTransport):
    """The part of a Transport that moves files; where nothing better is known, through the shell."""

    def push(self, source: Path, name: str, executable: bool = False) -> bool:
        """As `Transport.push`."""
        size, checksum = described(source)
        path, mode = quoted(self._path(name)), "755" if executable else "644"
        if self._has(path, name, checksum, mode, size):
            return False
        part = self._path(f"{name}.{secrets.token_hex(TOKEN_BYTES)}{PART}")
        try:
            problem = self._send(source, part, SHORT_S + size / SLOWEST_BYTES_PER_S)
            if OF_ROOM.search(problem):
                raise self._full(name, size, "no room")
            if problem:
                raise self._failed(f"the file {name} cannot be written in {self.folder}", problem)
            self._put(quoted(part), path, name, checksum, mode)
        except (DeviceLost, DeviceTimeout):
            raise  # the part is deleted by `reconnect`
        except BaseException:
            with suppress(DeviceError):
                self._in_folder(f"rm -f {quoted(part)}")
            raise
        return True

    def pull(self, name: str, target: Path) -> None:
        """As `Transport.pull`."""
        path = self._path(name)
        ended = self._in_folder(
            f"{CHECKSUM}\n[ -f {quoted(path)} ] && checksum {quoted(path)} && wc -c < {quoted(path)}"
        )
        if ended.exit_code:
            raise DeviceError(f"{self.name} has no file {name} in {self.folder} that could be fetched.")
        checksum, size = ended.output.decode().split()
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if (free := shutil.disk_usage(target.parent).free) < int(size):
                raise HwnasError(f"{name} of {self.name} has {size} bytes, and {target.parent} room for {free} only.")
            problem = self._fetch(path, part, SHORT_S + int(size) / SLOWEST_BYTES_PER_S)
            if problem:
                raise self._failed(f"the file {name} cannot be fetched", problem)
            self._compare(name, described(part)[1], checksum)
            part.replace(target)
        except OSError as error:
            raise HwnasError(f"cannot write {target}: {error.strerror}.") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _send(self, source: Path, target: str, timeout_s: float) -> str:
        """Copy a file to the path `target` on the device. Returns why it did not work, or nothing."""
        ended = self._in_folder(f"cat > {quoted(target)}", timeout_s, source)
        return cause(ended.error) or "no reason given" if ended.exit_code else ""

    def _fetch(self, source: str, target: Path, timeout_s: float) -> str:
        """Copy the device's file `source` here. Returns why it did not work, or nothing."""
        ended = self._in_folder(f"cat {quoted(source)}", timeout_s)
        target.write_bytes(ended.output)
        return cause(ended.error) or "no reason given" if ended.exit_code else ""

    def _has(self, path: str, name: str, checksum: str, mode: str, size: int) -> bool:
        """Whether the device has the file; if not, it has room for it. Raises DeviceFull if neither is so."""
        there = self._in_folder(
            f"""{CHECKSUM}
[ ! -d {path} ] || exit 1
if [ -f {path} ] && [ "$(checksum {path})" = {checksum} ] && chmod {mode} {path}; then echo same; exit; fi
{room(".")}"""
        )
        if there.exit_code == 1:
            raise DeviceError(
                f"{self.name} has a folder {name} in {self.folder}; delete it, so that a file can be put."
            )
        if there.output == b"same\n":
            return True
        free = free_bytes(there.completed().output)
        if free is not None and free < size + TO_SPARE_BYTES:
            raise self._full(name, size, f"{free / 2**20:.1f} MiB")
        return False

    def _put(self, part: str, path: str, name: str, checksum: str, mode: str) -> None:
        """Give a file that has come whole to the device its name."""
        ended = self._in_folder(
            f"""{CHECKSUM}
have=$(checksum {part})
echo "$have"
[ "$have" != {checksum} ] || {{ chmod {mode} {part} && mv -f {part} {path}; }}"""
        )
        self._compare(name, ended.completed().output.strip(), checksum)
        if ended.exit_code:
            raise self._failed(f"the file {name} cannot be given its name", cause(ended.error))

    def _compare(self, name: str, arrived: str, sent: str) -> None:
        if "unknown" in (arrived, sent):
            raise DeviceError(
                f"{self.name} has none of sha256sum, toybox, busybox, openssl and shasum: it cannot be told whether "
                f"the file {name} is whole. Install one of them there."
            )
        if arrived != sent:
            raise DeviceError(
                f"{self.name}: the file {name} differs from the one sent (SHA-256 {arrived[:12]}..., not "
                f"{sent[:12]}...): it was damaged on the way, or changed meanwhile. It was thrown away; try again."
            )

    def _failed(self, what: str, reason: str) -> DeviceError:
        """The error for a copy that failed: the connection is to blame unless the reason is known to be another."""
        if OF_THE_DEVICE.search(reason):
            return DeviceError(f"{self.name}: {what}: {reason}.")
        return self._lost(f"{what}: {reason}".encode())

    def _full(self, name: str, size: int, free: str) -> DeviceFull:
        return DeviceFull(
            f"{self.name} has {free} left in {self.folder}, and the file {name} needs {size / 2**20:.1f} MiB. Delete "
            "something there, or set another `folder` in the device file."
        )


def described(file: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file of this machine. Raises HwnasError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
            return stream.tell(), checksum
    except OSError as error:
        raise HwnasError(f"cannot read {file}: {error.strerror}.") from None
