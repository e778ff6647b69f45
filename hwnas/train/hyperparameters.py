"""The ranges in which hyper-parameters mean something: beyond them a training learns nothing, or the opposite."""

from __future__ import annotations

import math

from hwnas.errors import UsageError

RATES = ("lr", "alpha_lr", "head_lr", "weight_decay", "alpha_weight_decay")
"""0 or more."""
SHARES_BELOW_1 = ("momentum", "ema", "lr_warmup")
"""From 0 on; less than 1."""
SHARES = ("label_smoothing", "distillation")
"""From 0 to 1."""


def check_hyperparameters(settings: object) -> None:
    """Raise UsageError for a hyper-parameter of these names that is out of its range; None is in none."""

    def check(names: tuple[str, ...], wanted: str, least: float, below: float) -> None:
        for name in names:
            value = getattr(settings, name, None)
            if value is not None and not least <= value < below:
                raise UsageError(f"{name} is {wanted}, not {value:g}.")

    check(RATES, "a rate of 0 or more", 0, math.inf)
    check(SHARES_BELOW_1, "a share from 0 to less than 1", 0, 1)
    check(SHARES, "a share from 0 to 1", 0, math.nextafter(1, 2))
    check(("clip_norm",), "a norm above 0 (where gradients shall not be clipped, a very large one)", 5e-324, math.inf)
    betas = getattr(settings, "alpha_betas", (0.0, 0.0))
    if not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"alpha_betas are shares from 0 to less than 1, not {', '.join(f'{b:g}' for b in betas)}.")
