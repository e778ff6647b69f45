"""The gate: is a model file fast enough on a device, as far as noise lets one say?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, Literal

from hwnas.campaign.bench import bench
from hwnas.campaign.conditions import Conditions
from hwnas.campaign.rounds import CONFIDENCE, LOOKS, Excess, Round, excess, least_disturbed
from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.progress import silent

Status = Literal["within", "too slow", "undecided", "measured"]

INTERVAL = f"{CONFIDENCE:.0%} interval".replace("%", " %")
PRECISE = 0.01
"""A measurement that is to be a baseline is known well enough at an interval of plus or minus this share."""


@dataclass(frozen=True)
class Limit:
    """The measurement that a model is compared with. The values are of `Round.ratio` if `by_reference`, else of
    `Round.ms`."""

    than: tuple[float, ...]
    """One value, or one for each round of an earlier measurement."""
    exact: bool
    """The value is known, and not measured."""
    by_reference: bool
    """Each round is corrected by the reference model beside it."""
    allowed_percent: float = 0.0
    """A model may be slower by so much."""
    text: str = ""
    """For people: ``0.5 ms``, ``main.json``."""
    budget_ms: float | None = None
    """The limit in ms, where it is one."""
    check: Callable[[Conditions], None] = silent
    """Called with the conditions of the first round. Raises HwnasError where nothing can be compared."""

    def __post_init__(self) -> None:
        if not 0 <= self.allowed_percent <= 1000:  # NaN is neither
            raise UsageError(
                f"a model may be allowed to be 0 to 1000 % slower, not {self.allowed_percent:g}; give --allow-percent "
                "such as 5."
            )

    def excess(self, rounds: Sequence[Round], device: Device) -> Excess:
        """How far the rounds are above what is allowed."""
        used = rounds if self.by_reference else least_disturbed(rounds, device.drift_limit_percent)
        now = [each.ratio if self.by_reference else each.ms for each in used]
        factor = 1 + self.allowed_percent / 100
        return excess(now, [value * factor for value in self.than], self.exact)


@dataclass(frozen=True)
class Gated:
    """The outcome of a gate."""

    status: Status
    limit: Limit | None
    excess: Excess | None
    """Above what the limit allows."""
    rounds: tuple[Round, ...]
    conditions: Conditions
    model: str
    reference: str
    """The beginning of the SHA-256 of the model that was timed beside it."""
    seconds: float

    @property
    def ms(self) -> float:
        """Median over the rounds."""
        return median(each.ms for each in self.rounds)

    @property
    def reference_ms(self) -> float:
        """The same of the reference."""
        return median(each.reference_ms for each in self.rounds)

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        if self.limit is None or self.excess is None:
            return "Held against nothing: to be compared with later."
        if (budget_ms := self.limit.budget_ms) is not None:
            value, low, high = (budget_ms * (1 + percent / 100) for percent in self.excess.percent())
            return (
                f"it takes {value:.4g} ms ({INTERVAL}: {low:.4g} to {high:.4g} ms), with a budget of {self.limit.text}."
            )
        value, low, high = self.excess.percent(self.limit.allowed_percent)
        return (
            f"against {self.limit.text} it takes {value:+.1f} % of time ({INTERVAL}: {low:+.1f} to {high:+.1f} %); "
            f"+{self.limit.allowed_percent:g} % is allowed."
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, as `hwnas.campaign.baseline` reads it again."""
        limit = self.limit
        return {
            "status": self.status,
            "model": self.model,
            "ms": self.ms,
            "reference_ms": self.reference_ms,
            "limit": limit and {"than": limit.text, "allowed_percent": limit.allowed_percent},
            "excess": self.excess and self.excess.to_json(),
            "seconds": self.seconds,
            "reference": self.reference,
            "rounds": [asdict(each) for each in self.rounds],
            "conditions": self.conditions.to_json(),
        }


def digest_of(reference: bytes) -> str:
    """The name that a journal or a baseline knows a reference model by."""
    return hashlib.sha256(reference).hexdigest()[:12]


def gate(
    model: Path,
    device: Device,
    runtime: str,
    reference: bytes,
    limit: Limit | None,
    max_s: float = 120.0,
    progress: Callable[[str, int, int, str], None] = silent,
) -> Gated:
    """Measure a model in rounds until it is decided whether it is within a limit.

    Each round is a `bench` with the reference beside it, in a process of its own. After `LOOKS` rounds the interval of
    `hwnas.campaign.rounds.excess` is looked at: if it lies above 0 as a whole the model is too slow, if below it is
    within. If neither is so after the last look, or `max_s`, it is undecided: slower or faster by less than the noise.

    Args:
        limit: None: measure until the ratio to the reference is known to `PRECISE`, to be a baseline.
        max_s: No round begins later, but for the first `LOOKS[0]`.
        progress: called with stage, rounds made, rounds to the next look, and what is known by now.

    Raises as `bench`, and as the limit's `check`.
    """
    begin = monotonic()
    careful = device.model_copy(update={"extra_visits": 0})  # a disturbed round is met by another round
    rounds: list[Round] = []
    status, found = _judge(None, None), None
    told = model.name
    for look in LOOKS:
        while len(rounds) < look:
            if len(rounds) >= LOOKS[0] and monotonic() - begin > max_s:
                break
            progress("gate", len(rounds), look, told)
            made = bench(model, careful, runtime, reference=reference)
            if not rounds:
                conditions = made.conditions
                if limit is not None:
                    limit.check(conditions)
            rounds.append(Round(made.repetitions_us, made.reference_us))
        found = limit.excess(rounds, device) if limit else excess([each.ratio for each in rounds], [1.0], exact=True)
        status = _judge(limit, found)
        if limit:
            off = f"{100 * (exp(found.value) - 1):+.1f} +-{50 * (found.high - found.low):.1f} %"
            told = f"{off} from what is allowed"
        if status != "undecided" or len(rounds) < look:
            break
    progress("gate", len(rounds), len(rounds), told)
    seconds = monotonic() - begin
    return Gated(
        "measured" if limit is None else status,
        limit,
        found if limit else None,
        tuple(rounds),
        conditions,
        model.name,
        digest_of(reference),
        seconds,
    )


def _judge(limit: Limit | None, found: Excess | None) -> Status:
    """The verdict of an interval; without a limit, whether it is narrow enough."""
    if found is None:
        return "undecided"
    if limit is None:
        return "measured" if found.high - found.low <= 2 * PRECISE else "undecided"
    return "too slow" if found.low > 0 else "within" if found.high <= 0 else "undecided"
