"""What a phone does behind adb's protocol: run commands, hand out files. Used by `tests/fake_adbd.py`."""

from __future__ import annotations

import asyncio
import os
import stat
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Gone(Exception):
    """The other side ended the stream or the connection."""


class Stream(Protocol):
    """Bytes to and from the host; each method raises Gone."""

    async def read(self, size: int) -> bytes: ...

    async def read_some(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


async def shell(stream: Stream, root: Path, command: str, packets: bool) -> None:
    """Run a command: with shell protocol 2, in packets with an exit code; without, as one stream of bytes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *("/usr/sbin/chroot", str(root), "/system/bin/sh", "-c", command),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe if packets else asyncio.subprocess.STDOUT,
        env={"PATH": "/system/bin:/bin:/usr/bin", "HOME": "/", "TMPDIR": "/data/local/tmp"},
    )
    assert process.stdin and process.stdout
    one_at_a_time = asyncio.Lock()

    async def feed(target: asyncio.StreamWriter) -> None:
        with suppress(Gone, OSError):
            while True:
                kind, data = STDIN, b""
                if packets:
                    kind, size = struct.unpack("<BI", await stream.read(5))
                    data = await stream.read(size)
                else:
                    data = await stream.read_some()
                if kind == CLOSE_STDIN:
                    target.close()
                elif kind == STDIN:
                    target.write(data)
                    await target.drain()

    async def copy(source: asyncio.StreamReader, kind: int) -> None:
        while data := await source.read(32768):
            async with one_at_a_time:
                await stream.write(struct.pack("<BI", kind, len(data)) + data if packets else data)

    feeding = asyncio.create_task(feed(process.stdin))
    outputs = [copy(process.stdout, STDOUT)] + ([copy(process.stderr, STDERR)] if process.stderr else [])
    try:
        await asyncio.gather(*outputs)
        code = await process.wait()
        if packets:
            await stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))
    finally:
        feeding.cancel()


class Files:
    """adb's sync service, version 1: stat, list, send, receive."""

    def __init__(self, stream: Stream, root: Path) -> None:
        self._stream, self._root = stream, root

    async def serve(self) -> None:
        answers: dict[bytes, Callable[[str], Awaitable[None]]] = {
            b"STAT": self._stat,
            b"LIST": self._list,
            b"SEND": self._take,
            b"RECV": self._give,
        }
        while True:
            request, size = struct.unpack("<4sI", await self._stream.read(8))
            if request == b"QUIT":
                return
            name = (await self._stream.read(size)).decode()
            try:
                await answers[request](name)
            except OSError as error:
                reason = (error.strerror or "failed").encode()
                await self._stream.write(struct.pack("<4sI", b"FAIL", len(reason)) + reason)

    def _path(self, name: str) -> Path:
        return self._root / os.path.normpath("/" + name).lstrip("/")

    @staticmethod
    def _status(path: Path) -> bytes:
        try:
            status = path.lstat()
        except OSError:
            return bytes(12)
        return struct.pack("<III", status.st_mode, status.st_size & 0xFFFFFFFF, int(status.st_mtime))

    async def _stat(self, name: str) -> None:
        await self._stream.write(b"STAT" + self._status(self._path(name)))

    async def _list(self, name: str) -> None:
        folder = self._path(name)
        for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
            encoded = entry.name.encode()
            await self._stream.write(b"DENT" + self._status(entry) + struct.pack("<I", len(encoded)) + encoded)
        await self._stream.write(b"DONE" + bytes(16))

    async def _take(self, request: str) -> None:
        name, _, mode = request.rpartition(",")
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        error: OSError | None = None
        with path.open("wb", buffering=0) as file:
            while True:
                kind, size = struct.unpack("<4sI", await self._stream.read(8))
                if kind == b"DONE":
                    break
                data = await self._stream.read(size)
                try:
                    error or file.write(data)
                except OSError as full:  # the host has sent all before it reads the answer
                    error = full
        if error:
            path.unlink()
            raise error
        path.chmod(stat.S_IMODE(int(mode)))
        await self._stream.write(b"OKAY" + bytes(4))

    async def _give(self, name: str) -> None:
        with self._path(name).open("rb") as file:
            while data := file.read(65536):
                await self._stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
        await self._stream.write(b"DONE" + bytes(4))
