"""The answers of a network to the test images, for its page: a table of the classes, the commonest mix-ups,
pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

MOST_CLASSES, MIX_UPS = 20, 12
"""Of more classes there is no table; of so many mix-ups, a list."""
DARKEST_PERCENT = 45
"""Of the colour behind a count: text is to be read on it."""

Json = Mapping[str, Any]


def confusion_table(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Json | None:
    """A row per class with the share of its images that each class is given; None where it is not known or too wide.

    Args:
        counts: images of class i that were taken for class j.
        classes: their names.
    """
    if not counts or len(counts) != len(classes) or len(classes) > MOST_CLASSES:
        return None
    rows = []
    for truth, row in enumerate(counts):
        images = sum(row) or 1
        cells = [
            {
                "count": count or "",
                "tint": round(DARKEST_PERCENT * count / images),
                "right": answer == truth,
                "told": f"{count} of class {classes[truth]} taken for {classes[answer]}",
            }
            for answer, count in enumerate(row)
        ]
        rows.append(
            {"number": truth + 1, "name": classes[truth], "cells": cells, "right": f"{row[truth] / images:.0%}"}
        )
    return {"rows": rows}


def mix_ups(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    """The commonest mistakes in words."""
    if len(counts) != len(classes):
        return []
    pairs = [
        (count, classes[truth], classes[answer])
        for truth, row in enumerate(counts)
        for answer, count in enumerate(row)
        if count and truth != answer
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [f"{count} of {truth} taken for {answer}" for count, truth, answer in pairs[:MIX_UPS]]


def pictures(mistakes: Sequence[Json]) -> list[Json]:
    """The surest mistakes; one whose picture is no base64 is left out."""
    return [
        {
            "source": f"data:image/jpeg;base64,{each['picture']}",
            "alt": f"A test image of class {each['truth']} that is taken for {each['answer']}",
            "told": f"{each['truth']}, taken for {each['answer']}, {100 * each['sureness']:.0f} % sure",
        }
        for each in mistakes
        if _is_base64(each["picture"])
    ]


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
