"""The damage that hostile.py does to a good file: to its structure, bytes or encoding, or by replacing it."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from damage import flipped, huge_lengths, overwritten, swapped, truncated

VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "1.23 ms", "\ud800", "a" * 5000, -1, 0, -0.0, 1e-320, 1e308, float("nan"), float("inf"),
    float("-inf"), 10**9, 2**63, 10**30, -(10**9), 3.5, [], {}, [[]], [1, [2, [3]]], {"a": {"b": 1}},
)  # fmt: skip
TEXTS = (
    "", "x", "nan", "inf", "-inf", "-1", "0", "1e309", "1.23 ms", "1,5", "9" * 5000, "True", "[]", "{}", '"', "\x00",
    "1_0", "0x10", "٣", " ", "1:30", "null", "-0.5", "1e400", "é", "1e-320", "999999999999",
)  # fmt: skip
LINES = ("extra = 1", "extra: 1", "{}", "[]", "a: &a [1]", "b: *a", "!!int x", "- - -", "\x00")


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below a JSON value."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, child in children for found in [(*path, key), *places(child, (*path, key))]]


def edited_json(text: str, dice: random.Random) -> str:
    """JSON text with one edit of its structure, or two."""
    data = json.loads(text)
    for _ in range(dice.choice((1, 1, 1, 2))):
        path = dice.choice(places(data) or [()])
        if not path:
            return json.dumps(dice.choice(VALUES))
        parent = data
        for step in path[:-1]:
            parent = parent[step]
        key, edit = path[-1], dice.choice(("value", "value", "value", "remove", "add", "move", "scale", "copy"))
        if edit == "value":
            parent[key] = copy.deepcopy(dice.choice(VALUES))
        elif edit == "remove":
            del parent[key]
        elif edit == "add" and isinstance(parent, dict):
            parent[dice.choice(("extra", "", "__class__", f"{key} "))] = dice.choice(VALUES)
        elif edit == "scale" and isinstance(parent[key], int | float):
            parent[key] = parent[key] * dice.choice((-1, 1000, 1e30, 0.5))
        elif edit == "copy" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif isinstance(parent, list):
            dice.shuffle(parent)
    written = json.dumps(data)
    if dice.random() < 0.15 and (pairs := re.findall(r'"\w+": [\d.]+', written)):
        pair = dice.choice(pairs)  # a key twice
        written = written.replace(pair, f"{pair}, {pair.split(': ')[0]}: 7", 1)
    if dice.random() < 0.1:
        written = written.replace("1", dice.choice(("[" * 900 + "1" + "]" * 900, "9" * 6000, "NaN", "-Infinity")), 1)
    return written


def edited_rows(text: str, dice: random.Random) -> str:
    """CSV text with an edit of one cell, a row or a column."""
    rows = list(csv.reader(io.StringIO(text)))
    i, edit = dice.randrange(len(rows)), dice.choice(("cell", "cell", "cell", "repeat", "shorten", "swap", "column"))
    j = dice.randrange(len(rows[i]))
    if edit == "cell":
        inner = rows[i][j].startswith("{") and dice.random() < 0.8
        rows[i][j] = edited_json(rows[i][j], dice) if inner else dice.choice(TEXTS)
    elif edit == "repeat":
        rows.insert(dice.randrange(1, len(rows) + 1), list(rows[i]))
    elif edit == "shorten":
        del rows[i][j]
    elif edit == "swap":
        k = dice.randrange(len(rows[i]))
        rows[i][j], rows[i][k] = rows[i][k], rows[i][j]
    else:
        for row in rows:
            del row[j : j + 1]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def edited_lines(text: str, dice: random.Random) -> str:
    """Lines of JSON, YAML or TOML with an edit of one of them."""
    lines = text.splitlines() or [""]
    i = dice.randrange(len(lines))
    edit = dice.choice(("repeat", "remove", "value", "value", "value", "json", "insert", "nest"))
    if edit == "repeat":
        lines.insert(dice.randrange(len(lines) + 1), lines[i])
    elif edit == "remove":
        del lines[i]
    elif edit == "json" and lines[i].startswith("{"):
        lines[i] = edited_json(lines[i], dice)
    elif edit == "insert":
        lines.insert(i, dice.choice(LINES))
    elif edit == "nest":
        lines[i] = lines[i].split("=")[0] + "= " + "[" * 3000 + "]" * 3000 if "=" in lines[i] else "a: " + "[" * 200_000
    else:
        value = dice.choice(TEXTS)
        lines[i] = re.sub(r"(?<=[:=] )(.+)$|[\d.]+", lambda _: value, lines[i], count=1)
    return "\n".join(lines) + "\n"


def structured(data: bytes, name: str, dice: random.Random) -> bytes:
    """An edit that knows the format."""
    edit = {".json": edited_json, ".csv": edited_rows}.get(Path(name).suffix, edited_lines)
    if name.endswith(".safetensors"):
        size = int.from_bytes(data[:8], "little")
        header = edited_json(data[8 : 8 + size].decode(), dice).encode("utf-8", "surrogatepass")
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    return edit(data.decode(), dice).encode("utf-8", "surrogatepass")


def reencoded(data: bytes, dice: random.Random) -> bytes:
    """Other encodings and padding."""
    text = data.decode("latin-1")
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data + b"\0" * 100,
        lambda: b"",
        lambda: data * 2,
        lambda: b"[" * 100_000,
        lambda: b'{"a":' * 100_000,
        lambda: data.replace(b"\n", b"\r\n"),
    )
    return dice.choice(choices)()


def weights_edited(path: Path, dice: random.Random) -> None:
    """Good weights with a tensor of another name, shape or type, or with numbers that are none."""
    from safetensors.torch import load_file, save_file

    of_torch = path.suffix == ".pth"
    weights = torch.load(path, weights_only=True) if of_torch else load_file(path)
    name = dice.choice(sorted(weights))
    edits: tuple[Callable[[Any], Any], ...] = (
        lambda w: w.double(),
        lambda w: w.to(torch.int8),
        lambda w: w.float() * float("nan"),
        lambda w: w.float() / 0,
        lambda w: w.reshape(-1)[:1].clone(),
        lambda w: -w.abs() - 1,
        lambda w: w.unsqueeze(0).clone(),
    )
    edit = dice.randrange(len(edits) + 2)
    if edit < len(edits):
        weights[name] = edits[edit](weights[name]).contiguous()
    elif edit == len(edits):
        del weights[name]
    else:
        weights[f"{name}.extra"] = torch.zeros(3)
    (torch.save if of_torch else save_file)(weights, path)


def replaced(path: Path, dice: random.Random) -> None:
    """Something else in the place of the file."""
    path.unlink()
    kind = dice.choice(("folder", "fifo", "loop", "dangling", "huge", "device"))
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(8 * 2**30)  # sparse
    else:
        path.symlink_to({"loop": path, "dangling": path.parent / "nowhere", "device": Path("/dev/zero")}[kind])


DAMAGES = ("structure", "structure", "structure", "structure", "bytes", "bytes", "encoding", "replaced")


def damage(path: Path, dice: random.Random) -> str:
    """Damage a file; returns how."""
    kind = dice.choice(DAMAGES)
    if kind == "replaced":
        replaced(path, dice)
    elif kind == "structure" and (path.suffix == ".pth" or (path.suffix == ".safetensors" and dice.random() < 0.6)):
        weights_edited(path, dice)
    elif kind == "structure":
        path.write_bytes(structured(path.read_bytes(), path.name, dice))
    elif kind == "encoding":
        path.write_bytes(reencoded(path.read_bytes(), dice))
    else:
        whole = path.stat().st_size > 512  # chunks are swapped of these only
        mutate = dice.choice((truncated, flipped, overwritten, huge_lengths, swapped if whole else flipped))
        path.write_bytes(bytes(mutate(bytearray(path.read_bytes()), dice)))
    return kind
