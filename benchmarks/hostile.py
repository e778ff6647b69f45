"""Hostile files against everything that hwnas reads: each ends in one clear error, or in values that can be right.

From good files (tables measured, published and shipped, predictors, architectures, weights, device files,
configurations, run folders, journals, baselines, sustained speeds, studies) come damaged ones: bytes flipped, cut off
and overwritten; values of JSON, CSV, YAML and TOML replaced by wrong types, NaN, negatives, huge and endless numbers;
keys removed, added and repeated; rows repeated and shortened; nesting without end; folders, FIFOs, loops of links and
other encodings in their place. Model files (`--models`) are damaged and examined as in mutated_files.py, in a process
of their own.

Counted are clear errors, what was accepted and can be right by an oracle that knows nothing of the reader, and what
must not be: tracebacks, wrong values, hangs.

python benchmarks/hostile.py --files 1800 --models 200 --json
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import show
from damage import flipped, huge_lengths, overwritten, swapped, truncated
from hostile_files import FILES, Subject
from hostile_results import RESULTS

from hwnas.errors import HwnasError

SUBJECTS = FILES | RESULTS
LONGEST_S = 20
OUTCOMES = ("clear error", "accepted, right", "traceback", "wrong value", "hang", "unclear error")
BAD = ("traceback", "wrong value", "hang", "unclear error")

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
        lines.insert(
            i, dice.choice(("extra = 1", "extra: 1", "{}", "[]", "a: &a [1]", "b: *a", "!!int x", "- - -", "\x00"))
        )
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


class TooLongError(BaseException):
    """A reader that does not come back; no `except Exception` swallows it."""


def _stop(*_: Any) -> None:
    raise TooLongError


def outcome(subject: Subject, folder: Path) -> tuple[str, str]:
    """One of `OUTCOMES` and the message behind it."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(LONGEST_S)
    try:
        wrong = subject.wrong(subject.read(folder))
        return ("wrong value", wrong) if wrong else ("accepted, right", "")
    except HwnasError as error:
        said = str(error)
        clear = said.isprintable() or not any(c in said for c in "\0\r\x1b")
        named = Path(subject.file).name in said or folder.name in said or "in this predictor" in said
        encodable = not any("\ud800" <= c <= "\udfff" for c in said)
        return ("clear error" if clear and named and encodable and len(said) < 1500 else "unclear error"), said
    except TooLongError:
        return "hang", ""
    except RecursionError as error:
        return "traceback", repr(error)
    except Exception:
        return "traceback", traceback.format_exc(limit=-3)
    finally:
        signal.alarm(0)


def run(count: int, seed: int, keep: Path | None = None) -> list[tuple[str, str, str, str]]:
    """(subject, damage, outcome, message) of `count` hostile files; those with bad outcomes are copied to `keep`."""
    found = []
    with tempfile.TemporaryDirectory() as work:
        good = {}
        for i, (name, subject) in enumerate(SUBJECTS.items()):
            good[name] = Path(work) / f"good{i}"
            good[name].mkdir()
            subject.write(good[name])
        for i in range(count):
            name = list(SUBJECTS)[i % len(SUBJECTS)]
            dice, folder = random.Random(f"{seed} {i}"), Path(work) / f"case{i}"
            shutil.copytree(good[name], folder)
            how = damage(folder / SUBJECTS[name].file, dice)
            result = outcome(SUBJECTS[name], folder)
            found.append((name, how, *result))
            if keep is not None and result[0] in BAD:
                shutil.copytree(folder, keep / f"{seed}-{i}", symlinks=True, ignore_dangling_symlinks=True)
            shutil.rmtree(folder)
    return found


def examine_models(count: int, seed: int) -> list[tuple[str, str, str, str]]:
    """The same of damaged model files, inspected and measured in a process of their own."""
    import mutated_files

    meaning = {"result": "accepted, right", "hwnas crashed": "traceback", "hwnas hung": "hang"}
    return [
        (f"model {verb}", damaged, meaning.get(found, "clear error"), message)
        for verb, damaged, found, message in mutated_files.run(count, seed, workers=2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1800, help="hostile files that are no models (default: 1800)")
    parser.add_argument("--models", type=int, default=200, help="hostile model files (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="copy the folders with bad outcomes here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    started = time.perf_counter()
    found = run(arguments.files, arguments.seed, arguments.keep)
    if arguments.models:
        found += examine_models(arguments.models, arguments.seed)
    counts = Counter((name, outcome) for name, _, outcome, _ in found)
    names = list(dict.fromkeys(name for name, *_ in found))
    rows = [{"files": name, **{outcome: counts[name, outcome] for outcome in OUTCOMES}} for name in names]
    bad = [(name, how, outcome, message[-900:]) for name, how, outcome, message in found if outcome in BAD]
    show(
        f"{len(found)} hostile files",
        rows,
        arguments.json,
        total=dict(Counter(outcome for _, _, outcome, _ in found)),
        seconds=time.perf_counter() - started,
        bad=bad[:40],
    )
    if bad:
        raise SystemExit(f"{len(bad)} hostile files did not end in a clear error or in values that can be right")


if __name__ == "__main__":
    main()
