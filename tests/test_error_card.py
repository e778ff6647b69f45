"""The error card as files: what it says, and that the same card is the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.latency.card import CurvePoint, ErrorCard, HeldOutPrediction
from hwnas.report.error_card import card_text, write_card


@pytest.fixture
def card() -> ErrorCard:
    judged = [
        HeldOutPrediction(
            f"code {i}", 1.0 + 0.1 * i, 0.9 + 0.1 * i, 1.1 + 0.1 * i, 1.0 + 0.102 * i, "noisy measurement" * (i == 14)
        )
        for i in range(15)
    ]
    conditions = {
        "cpu": "C",
        "drift_min_percent": -1.0,
        "drift_max_percent": 2.5,
        "drift": {"coefficient": 0.8, "spread_percent": 1.1, "corrected_spread_percent": 0.25},
    }
    empty = replace(ErrorCard.not_evaluated(26, 15), noise_floor=0.5, protocol="5-fold cross-validation", own_mape=4.5)
    curve = (CurvePoint(0, 20.0), CurvePoint(5, 6.0))
    return replace(empty.with_held_out(judged), learning_curve=curve, measured_on=conditions)


def test_the_text_says_what_is_known(card: ErrorCard) -> None:
    text = card_text(card, 3.2, ["predictions.png"])
    for expected in (
        "block sum: 26 blocks, 15 whole networks",
        "| mean error (MAPE) | 0.73 % |",
        "| the same, fitted to this table alone | 4.50 % |",
        "| 90 % interval, plus or minus | 3.20 % |",
        "| Spearman | 1 |",
        "| 5 | 6.00 % |",
        "-1.0 to +2.5 %",
        "1.10 %, with 0.80 of the drift taken off 0.25 %",
        "| `code 14` | 2.4 | 2.428 | -1.2 % | noisy measurement |",
        "![predictions](predictions.png)",
    ):
        assert expected in text
    assert text.count("| `code ") == 10 and "`code 4`" not in text


def test_a_card_without_a_judgement_says_so() -> None:
    text = card_text(ErrorCard.not_evaluated(26, 3), 25.0, [])
    assert "not evaluated: fewer than 5 whole networks measured; the 90 % interval is ±25 %." in text


def test_the_same_card_is_the_same_bytes(card: ErrorCard, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    first, second = (write_card(card, tmp_path / name, 3.0) for name in ("a", "b"))
    assert [path.name for path in first] == ["card.json", "CARD.md", "predictions.png", "learning_curve.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[2].read_bytes().startswith(b"\x89PNG")
    data = json.loads(first[0].read_text())
    assert ErrorCard.from_json(data) == card and data["interval_percent"] == 3.0
