"""The settings of Single-Path NAS, and the phases that its steps fall into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hwnas.errors import UsageError
from hwnas.searches.derivers import Derive
from hwnas.supernet.superkernel import MASKS, SIZES, Mask, Size
from hwnas.train.hyperparameters import check_hyperparameters
from hwnas.train.loop import CHECKPOINT_SECONDS
from hwnas.train.phases import phase_ends

WARMING_UP, DESCENDING, SEARCHING = "warm-up of the indicators", "descent of the limit", "search"
FINISHING = "training of the derived architecture"
"""The phases."""

LatencyModel = Literal["table", "product"]
Schedule = Literal["cosine", "staircase"]


@dataclass(frozen=True)
class SinglePathSettings:
    """Hyper-parameters. Those of RMSProp (decay 0.9, momentum 0.9, eps 1e-3) are the authors'.

    Attributes:
        lr: for a batch of 256 images (0.016 as published), scaled with the root of the batch, under the cosine, and in
            proportion to it, as published, under the staircase.
        schedule: ``cosine`` to 0 (ours, for short schedules), or ``staircase``: times 0.97 every 2.4 epochs.
        warmup: share of the steps with dropout of indicators and without latency (5 of 8 epochs in the paper).
        keep: probability that an indicator is kept in the warm-up. 0.6 as published, where batch norm undoes dividing
            by it; behind our masks it does not, and 0.6 leaves too much noise to learn from in a short warm-up.
        search: share of the steps after which the architecture is taken and its part of the weights is trained on by
            the same schedule. 1, as published: it is taken at the end, to be trained anew.
        ema: decay of the average of weights and thresholds that decides and is inherited.
        descent: share of the steps between warm-up and hand-over in which the limit falls, in equal ratios, from the
            largest network's latency to the budget (ours: pressed to the budget at once, thresholds gather so much
            speed that whole stages fall before the loss can object).
        latency_weight: the paper's lambda: latency then costs ``1000 * lambda * ln(expected ms)``, whatever the budget
            is. None: as much as makes it meet the budget.
        latency_model: price a candidate as measured (``table``), or 3x3 kernels of smaller widths by the published
            ``R[5x5-e3] * R[3x3-e6] / R[5x5-e6]`` (``product``). What is decoded is always priced as measured.
        derive: ``probable``, what the indicators choose, within the budget, as published, or ``reranked``, the best by
            inherited accuracy of the architectures likest to that (`hwnas.searches.reranked.Reranked`).
        size, mask: see `hwnas.supernet.superkernel.SuperKernel`.
    """

    lr: float = 0.016
    schedule: Schedule = "cosine"
    weight_decay: float = 1e-5
    label_smoothing: float = 0.1
    warmup: float = 0.25
    keep: float = 0.9
    search: float = 0.5
    ema: float = 0.9999
    descent: float = 0.6
    latency_weight: float | None = None
    latency_model: LatencyModel = "table"
    size: Size = "rms"
    mask: Mask = "norm"
    derive: Derive = "probable"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        check_hyperparameters(self)
        known = {"size": SIZES, "mask": MASKS}
        known |= {"latency_model": get_args(LatencyModel), "schedule": get_args(Schedule), "derive": get_args(Derive)}
        for name, values in known.items():
            if (value := getattr(self, name)) not in values:
                raise UsageError(f"{name} must be one of {', '.join(values)}, not {value!r}.")
        if not (0 <= self.warmup < self.search <= 1 and 0 <= self.descent <= 1 and 0 < self.keep <= 1):
            raise UsageError(
                "warmup and search are shares of the steps, 0 <= warmup < search <= 1, descent is a share of what is "
                f"between them, and keep a probability above 0, not warmup={self.warmup:g}, search={self.search:g}, "
                f"descent={self.descent:g}, keep={self.keep:g}."
            )
        if self.latency_weight is not None and not self.latency_weight >= 0:
            raise UsageError(f"latency_weight (lambda) must be 0 or more, not {self.latency_weight}.")

    def phases(self, total_steps: int) -> dict[str, int]:
        """After how many steps each phase ends; of the descent, when it can end first."""
        descent = self.descent if self.latency_weight is None else 0.0  # a fixed lambda has no limit that could fall
        ends = {
            WARMING_UP: self.warmup,
            DESCENDING: self.warmup + min(descent * (self.search - self.warmup), 1 / total_steps),
            SEARCHING: self.search,
            FINISHING: 1.0,
        }
        return phase_ends(total_steps, ends, given_up=(FINISHING, DESCENDING, WARMING_UP))

    @staticmethod
    def published(latency_weight: float = 0.020) -> SinglePathSettings:
        """The settings of the authors' code, for 8 epochs of ImageNet in batches of 1024; lambda is their README's."""
        return SinglePathSettings(
            schedule="staircase",
            warmup=0.625,
            keep=0.6,
            search=1.0,
            latency_weight=latency_weight,
            latency_model="product",
            size="l2",
            mask="kernel",
        )
