"""A small adb daemon for what the real one never does: an unconfirmed phone, a silent one, an old one, a cut cable.

``python -m tests.fake_adbd PORT ROOT MODE [AFTER_BYTES]`` serves adb's protocol (Android's protocol.txt, SYNC.TXT and
shell_protocol.h) on 127.0.0.1:PORT; commands run, and files lie, in ROOT, as after chroot. Modes:

    plain         as a phone does
    unauthorized  wants a signature and accepts none: nobody has confirmed the question on its screen
    offline       takes the connection and says nothing
    legacy        Android 6 and older: no shell protocol 2, so that no exit code comes back
    cut           as plain; the first time that AFTER_BYTES went over the cable, it is pulled out and put back
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

from tests.fake_adbd_services import Files, Gone, shell

VERSION, MAX_PAYLOAD = 0x01000001, 256 * 1024
AUTH_TOKEN, AUTH_SIGNATURE = 1, 2
FEATURES = "cmd,fixed_push_mkdir"


class Stream:
    """One service that the host opened: bytes both ways, one unacknowledged packet at a time."""

    def __init__(self, connection: Connection, own: int, other: int) -> None:
        self.connection, self.own, self.other = connection, own, other
        self.arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self.acknowledged.set()
        self.is_open, self._rest = True, b""

    async def read_some(self) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        packet = await self.arrived.get()
        if packet is None:
            raise Gone
        await self.connection.send(b"OKAY", self.own, self.other)
        return packet

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self.read_some()
        data, self._rest = data[:size], data[size:]
        return data

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.connection.max_payload):
            await self.acknowledged.wait()
            if not self.is_open:
                raise Gone
            self.acknowledged.clear()
            packet = data[start : start + self.connection.max_payload]
            await self.connection.send(b"WRTE", self.own, self.other, packet)

    def end(self) -> None:
        self.is_open = False
        self.acknowledged.set()
        self.arrived.put_nowait(None)


class Connection:
    """One host on the cable."""

    def __init__(self, phone: FakePhone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.phone, self._reader, self._writer = phone, reader, writer
        self.max_payload, self._streams, self._last = 4096, dict[int, Stream](), 0
        self._services: set[asyncio.Task[None]] = set()

    async def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        self.count(len(data))
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        self._writer.write(header + data)
        await self._writer.drain()

    def count(self, size: int) -> None:
        if self.phone.remaining_bytes is not None:
            self.phone.remaining_bytes -= size
            if self.phone.remaining_bytes <= 0:
                self.phone.remaining_bytes = None
                self._writer.transport.abort()
                raise Gone

    async def serve(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(24)
                command, first, second, size, _, _ = struct.unpack("<4s5I", header)
                data = await self._reader.readexactly(size)
                self.count(size)
                await self._handle(command, first, second, data)
        except (Gone, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for stream in self._streams.values():
                stream.end()
            for service in self._services:
                service.cancel()
            self._writer.close()

    async def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            self.max_payload = min(second, MAX_PAYLOAD)
            if self.phone.mode == "unauthorized":
                await self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))
            elif self.phone.mode != "offline":
                await self.send(b"CNXN", VERSION, MAX_PAYLOAD, self.phone.banner())
        elif command == b"AUTH" and first == AUTH_SIGNATURE:  # the public key, which comes next, is never answered
            await self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(20))
        elif command == b"OPEN":
            self._last += 1
            opened = self._streams[self._last] = Stream(self, self._last, first)
            await self.send(b"OKAY", opened.own, opened.other)
            service = asyncio.create_task(self._service(opened, data.rstrip(b"\0").decode()))
            self._services.add(service)
            service.add_done_callback(self._services.discard)
        elif stream := self._streams.get(second):
            if command == b"WRTE":
                stream.arrived.put_nowait(data)
            elif command == b"OKAY":
                stream.acknowledged.set()
            elif command == b"CLSE":
                stream.end()

    async def _service(self, stream: Stream, name: str) -> None:
        kind, _, command = name.partition(":")
        with suppress(Gone, OSError):
            if kind == "sync":
                await Files(stream, self.phone.root).serve()
            elif kind.split(",")[0] in ("shell", "exec"):
                await shell(stream, self.phone.root, command, "v2" in kind.split(","))
            await stream.acknowledged.wait()
            await self.send(b"CLSE", stream.own, stream.other)
        stream.end()
        self._streams.pop(stream.own, None)


class FakePhone:
    """What is on the cable, however often it is plugged in."""

    def __init__(self, root: Path, mode: str, after_bytes: int | None) -> None:
        self.root, self.mode, self.remaining_bytes = root, mode, after_bytes

    def banner(self) -> bytes:
        features = FEATURES if self.mode == "legacy" else f"shell_v2,{FEATURES}"
        names = f"ro.product.name=fake;ro.product.model=Fake {self.mode};ro.product.device=fake"
        return f"device::{names};features={features}".encode()

    async def plug_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(self, reader, writer).serve()


async def main() -> None:
    port, root, mode, *after_bytes = sys.argv[1:]
    phone = FakePhone(Path(root), mode, int(after_bytes[0]) if after_bytes else None)
    async with await asyncio.start_server(phone.plug_in, "127.0.0.1", int(port)) as server:
        print(port, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
