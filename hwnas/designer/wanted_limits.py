"""Limits as a person writes them: ``pixel-1=60``, ``local/onnxruntime=0.6``, ``parameters=2M``, ``file-size=1.5MB``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.errors import UsageError, unknown_name
from hwnas.latency.limit import written
from hwnas.runners import ALL_RUNTIMES
from hwnas.text import excerpt

COUNTED = {"parameters": "", "macs": "", "file-size": "B", "peak-memory": "B"}
"""Quantities that can be limited beside latency, and their units."""

SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
LOCAL = "local"


def parse_place(text: str) -> tuple[str, str | None]:
    """The device and the runtime of ``DEVICE`` or ``DEVICE/RUNTIME``; a device may be the path of its file."""
    device, _, runtime = text.rpartition("/")
    return (device, runtime) if device and runtime in ALL_RUNTIMES else (text, None)


def parse_amount(name: str, given: Any) -> float:
    """The most of something: a number, with k, M or G (of bytes: kB, MB, KiB ...) behind it.

    Raises UsageError for what cannot be limited, and for what is no such number.
    """
    if name not in COUNTED:
        raise unknown_name("limit", name, list(COUNTED))
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmg]?i?)(b?)\s*", str(given).lower())
    try:
        number = float(found[1]) * SIZES[found[2]] if found else 0.0
    except (KeyError, ValueError):
        number = 0.0
    if not found or isinstance(given, bool) or not 0 < number < 1e15 or (found[3] and COUNTED[name] != "B"):
        example = "1.5MB or 300kB" if COUNTED[name] else "2M or 350k"
        raise UsageError(f"the limit {name} is a number above 0 such as {example}, not {excerpt(given)}.")
    return number


def parse_pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts by name. Raises UsageError for another text, and a name that is there twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not (equals and name.strip() and value.strip()):
            example = "pixel-1=60" if option == "--budget" else "parameters=2M"
            raise UsageError(f"{option} takes NAME=VALUE, such as {option} {example}, not {excerpt(text)}.")
        if name.strip() in found:
            raise UsageError(f"{option} names {name.strip()} twice, and one of the two would be forgotten.")
        found[name.strip()] = value.strip()
    return found


def with_first_budget(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which the first of several budgets is the one of ``device``, ``runtime`` and ``budget_ms``.

    Where `budget_ms` is given, that is the first. Else it is one of this machine, which is always at hand, or the first
    that is named. Raises UsageError where both are said.
    """
    budgets = values.get("budgets")
    if not isinstance(budgets, Mapping) or not budgets or values.get("budget_ms") is not None:
        return dict(values)
    if values.get("device") is not None or values.get("runtime") is not None:
        raise UsageError(
            "--device and --runtime say what --budget-ms is for; a --budget names its own: --budget DEVICE=MS or "
            "--budget DEVICE/RUNTIME=MS. Leave them out, or give --budget-ms, too."
        )
    first = next((place for place in budgets if parse_place(place)[0] == LOCAL), next(iter(budgets)))
    device, runtime = parse_place(first)
    others = {place: budget for place, budget in budgets.items() if place != first}
    own = {"device": device, "budget_ms": budgets[first], "budgets": others}
    return {**values, **own, **({} if runtime is None else {"runtime": runtime})}


def told(limits: Mapping[str, float]) -> str:
    """Limits for people: ``parameters 2 M, file-size 1.5 MB``."""
    return ", ".join(f"{name} {written(most, COUNTED[name])}" for name, most in limits.items())
