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
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from common import show
from hostile_damage import damage
from hostile_files import FILES, Subject
from hostile_results import RESULTS
from hostile_runs import RUNS

from hwnas.errors import HwnasError

SUBJECTS = FILES | RESULTS | RUNS
LONGEST_S = 20
OUTCOMES = ("clear error", "accepted, right", "traceback", "wrong value", "hang", "unclear error")
BAD = ("traceback", "wrong value", "hang", "unclear error")


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
