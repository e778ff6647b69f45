"""Phases: the steps of a training that belong to each, by the shares that settings ask for."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

from hwnas.train.distributed import rank

ROUNDING = 1e-6
"""Of a step: what a share that is a whole number of steps may seem to be more than that, in floating point."""


def phase_ends(total_steps: int, ends: Mapping[str, float], given_up: Sequence[str] = ()) -> dict[str, int]:
    """After how many steps each phase ends: steps are counted, not epochs, so that short trainings have phases too.

    An end is rounded up, and a phase with a share above 0 has a step or more. Where there are fewer steps than phases,
    some get none, and a warning says which.

    Args:
        total_steps: of the whole training.
        ends: the share of the steps, from 0 to 1 and never falling, after which each phase ends, by the phase's name.
        given_up: phases that go without where not all can have a step, the least needed first.
    """
    starts = (0.0, *ends.values())
    wanted = [name for name, start in zip(ends, starts, strict=False) if ends[name] > start]
    count, missing = len(wanted), []
    for name in given_up:
        if name in wanted and len(wanted) > total_steps:
            wanted.remove(name)
            missing.append(name)
    if missing and rank() == 0:
        logging.getLogger(__name__).warning(
            "The training has %d step%s, too few for its %d phases: there is none for the %s. Train for more epochs, "
            "with more images, or in smaller batches.",
            total_steps,
            "" if total_steps == 1 else "s",
            count,
            " and the ".join(missing),
        )
    steps, done = {}, 0
    for name, end in ends.items():
        if name in wanted:
            coming = len(wanted) - wanted.index(name) - 1  # each of them needs a step, too
            done = min(max(done + 1, math.ceil(end * total_steps - ROUNDING)), total_steps - coming)
        steps[name] = done
    return steps
