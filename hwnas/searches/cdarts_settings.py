"""The hyper-parameters of Cyclic DARTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hwnas.errors import UsageError
from hwnas.searches.cyclic_losses import Reduction
from hwnas.searches.derivers import Decode, Derive
from hwnas.searches.sampled_path_settings import check_known
from hwnas.train.loop import CHECKPOINT_SECONDS
from hwnas.train.weights import WeightSettings

EvaluationImages = Literal["training", "validation"]
Pool = Literal["search", "fresh"]
Schedule = Literal["cosine", "constant"]
Edges = Literal["sum", "mean"]


@dataclass(frozen=True)
class CDARTSSettings(WeightSettings):
    """Hyper-parameters. Those of the weights of both nets: `WeightSettings`.

    Attributes:
        alpha_lr: learning rate of the logits; None: as high as lets a logit travel some 10 units in the steps there
            are.
        alpha_weight_decay: of Adam on the logits.
        pretrain: share of the steps in which the search net alone is trained.
        search: share of the steps after which the architecture is derived, and its weights are trained on by the same
            schedule; 1: derive the child at the end, as published.
        cycles: in each, an evaluation net is made of what is most probable then, and both nets and the logits learn.
        evaluation_warmup: share of a cycle's steps in which the evaluation net alone is trained.
        evaluation_images: which images teach the evaluation net beside the search net: ``training``, so that none of
            its weights has seen a validation image (our default), or ``validation``, as published.
        evaluation: options of the space in which the evaluation net differs, such as ``{"cells": 20}`` of a space of
            cells; none: it is a network of the space.
        pool: what the first evaluation net begins with: the weights of the ``search`` net after its warm-up (our
            default), or ``fresh`` ones, as published. Later ones go on with those of the evaluation nets before.
        kl_weight: of the divergence between the levels of both nets; 0: they are independent, as in DARTS.
        temperature: both nets' logits are divided by it there.
        kl_reduction: ``batchmean``, or ``mean``, as published, which is smaller by the number of classes.
        l1: weight of the sum of the absolute raw logits of skips and pools, at the start of the search.
        l1_ratio: share of the search in which that weight falls to 0, linearly.
        clip_together: the norm that `clip_norm` limits is of all gradients together, the logits' among them, as
            published; else of each net's weights.
        schedule: of the weights' learning rate: ``cosine``, after a warm-up, or ``constant``, as the authors' code has
            it (its schedules are never advanced).
        affine: whether batch norms in the candidates of the search net have a scale and a shift.
        edges: what a node of a cell of two inputs is of its edges in the search net: their ``sum``, as in DARTS and in
            the network that is derived (our default), or their ``mean``, as published (`beta` without `--use_beta`).
        exclude_none: an edge of a cell is left out only where the budget leaves nothing else, in evaluation nets and in
            what is derived.
        derive, decode: as of the other methods with logits (`hwnas.searches.sampled_path.SampledPathSettings`).
            Re-ranked are inherited weights of the search net.
    """

    alpha_lr: float | None = None
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_weight_decay: float = 0.0
    pretrain: float = 0.1
    search: float = 0.5
    cycles: int = 8
    evaluation_warmup: float = 0.25
    evaluation_images: EvaluationImages = "training"
    evaluation: Mapping[str, Any] = field(default_factory=dict, hash=False)
    pool: Pool = "search"
    kl_weight: float = 1.0
    temperature: float = 2.0
    kl_reduction: Reduction = "batchmean"
    l1: float = 5.0
    l1_ratio: float = 0.2
    clip_together: bool = False
    schedule: Schedule = "cosine"
    affine: bool = False
    edges: Edges = "sum"
    exclude_none: bool = True
    derive: Derive = "probable"
    decode: Decode = "mode"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {"evaluation_images": EvaluationImages, "pool": Pool, "kl_reduction": Reduction, "schedule": Schedule}
        for name, values in {**known, "edges": Edges, "derive": Derive, "decode": Decode}.items():
            check_known(name, getattr(self, name), get_args(values))
        if not 0 <= self.pretrain < self.search <= 1:
            raise UsageError(
                "pretrain and search are shares of the steps, 0 <= pretrain < search <= 1, not "
                f"pretrain={self.pretrain:g}, search={self.search:g}: the search is between them."
            )
        if self.cycles < 1:
            raise UsageError(f"a search has 1 cycle or more, not cycles={self.cycles}.")
        if not 0 <= self.evaluation_warmup < 1:
            raise UsageError(
                "evaluation_warmup is a share of a cycle's steps, from 0 to less than 1, not "
                f"{self.evaluation_warmup:g}: the logits learn in the rest."
            )
        if not 0 <= self.l1_ratio <= 1:
            raise UsageError(f"l1_ratio is a share of the search, from 0 to 1, not {self.l1_ratio:g}.")
        for name in ("l1", "kl_weight"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is the weight of a term of the loss, 0 or more, not {getattr(self, name):g}.")
        if self.temperature <= 0:
            raise UsageError(f"the temperature divides logits and must be above 0, not {self.temperature:g}.")

    @staticmethod
    def published() -> CDARTSSettings:
        """The settings of the authors' script on CIFAR-10, in batches of 256: two passes of the search net alone, then
        30 cycles of a pass of the evaluation net and a pass of both. Half of the images are to be validation images."""
        return CDARTSSettings(
            lr=0.4,  # 0.2 for a batch of 256
            lr_warmup=0.0,
            weight_decay=0.0,
            label_smoothing=0.0,
            alpha_lr=3e-4,
            pretrain=2 / 62,
            search=1.0,
            cycles=30,
            evaluation_warmup=0.5,
            evaluation_images="validation",
            pool="fresh",
            kl_reduction="mean",
            clip_together=True,
            schedule="constant",
            edges="mean",
        )
