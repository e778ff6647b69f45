"""Damage to the bytes of a file, at random: what disks, networks and strangers do."""

from __future__ import annotations

import random
from collections.abc import Callable


def truncated(data: bytearray, dice: random.Random) -> bytearray:
    return data[: dice.randrange(len(data))]


def flipped(data: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def overwritten(data: bytearray, dice: random.Random) -> bytearray:
    start = dice.randrange(len(data))
    length = min(dice.choice((1, 4, 16, 256)), len(data) - start)
    data[start : start + length] = dice.randbytes(length)
    return data


def swapped(data: bytearray, dice: random.Random) -> bytearray:
    size = dice.choice((4, 16, 128))
    a, b = sorted(dice.sample(range(len(data) // size), 2))
    first, second = data[a * size : (a + 1) * size], data[b * size : (b + 1) * size]
    data[a * size : (a + 1) * size], data[b * size : (b + 1) * size] = second, first
    return data


def huge_lengths(data: bytearray, dice: random.Random) -> bytearray:
    """Numbers that offsets, lengths and sizes are not meant to have, where a flatbuffer or protobuf may keep one."""
    for _ in range(dice.choice((1, 2, 4))):
        start = dice.randrange(len(data) // 4) * 4
        data[start : start + 4] = dice.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\x40"))
    return data


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    truncated,
    flipped,
    overwritten,
    swapped,
    huge_lengths,
)
