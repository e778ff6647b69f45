"""DARTS-PT (arXiv 2108.04392): a DARTS supernet, projected decision by decision with fine-tuning in between.

Order and hyper-parameters follow ruochenwang/darts-pt, `nasbench201/projection.py` and `sota/cnn/projection.py`; what
is compared is in `hwnas.searches.perturbation`, the training of the supernet in `hwnas.searches.darts`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from torch import Tensor

from hwnas.errors import UsageError
from hwnas.files import write_json
from hwnas.run import Run
from hwnas.searches.darts import DARTSSettings, DARTSTrainer
from hwnas.searches.deriving import search_with
from hwnas.searches.evaluators import InheritedEvaluator, KeptBatches
from hwnas.searches.method import Method
from hwnas.searches.perturbation import Perturbation, mixture_accuracy
from hwnas.searches.problem import SearchProblem
from hwnas.searches.projection import EdgeOrder, Projection, projected, projection_rounds
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path_settings import FINISHING, SEARCHING, PathDerive, check_known
from hwnas.supernet.relaxation import EdgeRelaxation
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress
from hwnas.train.weights import WeightTraining

SUPERNET = "training of the supernet"
"""The phase before the projections."""
PROJECTION_FILE = "projection.json"
"""The supernet's accuracy, the architecture that DARTS would have derived, and every projection."""


@dataclass(frozen=True)
class DARTSPTSettings(DARTSSettings):
    """As `DARTSSettings`, and when the supernet is projected.

    Attributes:
        supernet: share of the steps after which the first decision is projected; the last one is when the share
            `search` of them is made. In between the supernet is fine-tuned.
        fine_tune_lr: learning rate of the fine-tuning, in shares of `lr`.
        edge_order: in which order edges, and then nodes, are projected: ``random``, as published, or as ``given``.
        blank: the logits stay uniform: the supernet is trained without an architecture, and then projected.
    """

    supernet: float = 0.5
    search: float = 0.65
    fine_tune_lr: float = 0.1
    edge_order: EdgeOrder = "random"
    blank: bool = False
    derive: PathDerive = "perturbed"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("edge_order", self.edge_order, get_args(EdgeOrder))
        if not self.pretrain <= self.supernet < self.search:
            raise UsageError(
                "the supernet is projected between the shares supernet and search of the steps, pretrain <= supernet < "
                f"search, not pretrain={self.pretrain:g}, supernet={self.supernet:g}, search={self.search:g}."
            )
        if self.derive != "perturbed" or self.decode != "mode" or self.fixing_gap is not None:
            raise UsageError(
                "darts-pt decides by perturbation alone; leave derive, decode and fixing_gap as they are, or search "
                "with `--method darts`."
            )

    @staticmethod
    def published() -> DARTSPTSettings:
        """The settings of the authors' code on NAS-Bench-201: 100 epochs in batches of 64, and 25 of fine-tuning."""
        return DARTSPTSettings(
            lr=0.1,  # 0.025 for a batch of 64
            lr_warmup=0.0,
            weight_decay=3e-4,
            label_smoothing=0.0,
            alpha_lr=3e-4,
            pretrain=0.0,
            supernet=0.8,
            search=1.0,
            exclude_none=False,
        )


class DARTSPTTrainer(DARTSTrainer):
    """The state of a search and its step: as DARTS's, with projections in between from the share `supernet` on."""

    settings: DARTSPTSettings

    def __init__(self, problem: SearchProblem, settings: DARTSPTSettings) -> None:
        super().__init__(problem, settings)
        self.supernet_steps = self.phase_steps[SUPERNET]
        self.rounds = projection_rounds(problem.budget.space, problem.seed, settings.edge_order)
        self.order = [subject for made in self.rounds for subject in made]
        self.batches = KeptBatches(problem.data.val_batches)
        self.projections: list[Projection] = []
        self.before: dict[str, Any] | None = None
        """The supernet before it is projected, and what DARTS would take from it."""
        self.stage = SUPERNET
        self.weights = self.weight_training(SUPERNET)

    def phases(self) -> dict[str, float]:
        ends = super().phases()
        return {name: end for name, end in ends.items() if name not in (SEARCHING, FINISHING)} | {
            SUPERNET: self.settings.supernet,
            SEARCHING: ends[SEARCHING],
            FINISHING: ends[FINISHING],
        }

    def weight_training(self, stage: str) -> WeightTraining:
        """The training of a stage: each has a schedule of its own, the fine-tuning a smaller rate without warm-up."""
        starts = {SUPERNET: 0, SEARCHING: self.supernet_steps, FINISHING: self.search_steps}
        ends = {SUPERNET: self.supernet_steps, SEARCHING: self.search_steps, FINISHING: self.total_steps}
        settings = self.settings
        if stage == SEARCHING:
            settings = replace(settings, lr=settings.fine_tune_lr * settings.lr, lr_warmup=0.0)
        steps = max(1, ends[stage] - starts[stage])
        return WeightTraining(self.net.weights(), settings, steps, self.problem.data.batch_size, self.precision)

    def enter(self, stage: str) -> None:
        """Begin a stage, unless it has begun."""
        if stage != self.stage:
            self.stage, self.weights = stage, self.weight_training(stage)

    def mixture(self) -> list[Tensor]:
        return projected(self.net.relaxations, super().mixture(), self.projections)

    @property
    def learns_logits(self) -> bool:
        return super().learns_logits and not self.settings.blank

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update, after the projections that are due, as in `hwnas.searches.sampled_path`."""
        if self.derived is None:
            self.project(self.due)
        if self.step_count >= self.supernet_steps:
            self.enter(SEARCHING if self.step_count < self.search_steps else FINISHING)
        return super().step(images, labels)

    @property
    def due(self) -> int:
        """How many projections are to be made before this step: the first round at the end of the supernet's training,
        the last one at the end of the search, the others at equal distances."""
        rounds, done = len(self.rounds), self.step_count - self.supernet_steps
        if self.step_count >= self.search_steps:
            return len(self.order)
        begun = 0 if done < 0 else 1 + done * (rounds - 1) // (self.search_steps - self.supernet_steps)
        return sum(map(len, self.rounds[:begun]))

    def project(self, due: int) -> None:
        """Make projections until so many are. The first process evaluates."""
        if due and self.before is None:
            self.before = distributed.from_first(self.look_before)
        while len(self.projections) < due:
            self.projections.append(distributed.from_first(lambda: self.deriver().project(self.budget)))

    def look_before(self) -> dict[str, Any]:
        """The supernet's accuracy and loss, and what DARTS would take from it with its inherited accuracy."""
        accuracy, loss = mixture_accuracy(self.net, self.deriver().weights(), self.batches)
        probable = self.probable().within(self.budget)
        inherited = InheritedEvaluator(self.net, self.problem.data, self.problem.torch_device)(probable)
        return {
            "supernet": {"accuracy": accuracy, "loss": loss},
            "probable": {"code": str(probable.code), "accuracy": inherited.accuracy},
        }

    def derive(self) -> None:
        self.project(len(self.order))
        super().derive()

    def deriver(self) -> Perturbation:
        return Perturbation(self.net, self.batches, self.order, self.settings.exclude_none, self.projections)

    def figures(self) -> dict[str, float]:
        return super().figures() | {"projected": len(self.projections)}

    def record(self) -> dict[str, Any]:
        """As plain data, in the order in which it was done, with the names of the decisions, and the edges of nodes."""
        made = [each.to_json() | self.named(each) for each in self.projections]
        return {**(self.before or {}), "projections": made}

    def named(self, made: Projection) -> dict[str, Any]:
        """The name of a projection's decision, and of an edge of a node the state that it comes from."""
        relaxation, name = self.net.relaxations[made.decision], self.net.names[made.decision]
        if not isinstance(relaxation, EdgeRelaxation):
            return {"decision": name}
        return {"decision": name, "edge": None if made.row is None else relaxation.sources[made.row]}

    def state_dict(self) -> dict[str, Any]:
        made = [each.to_json() for each in self.projections]
        return super().state_dict() | {"projections": made, "before": self.before, "stage": self.stage}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.enter(state["stage"])
        super().load_state_dict(state)
        self.projections = [Projection(**each) for each in state["projections"]]
        self.before = state["before"]


def darts_pt(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: DARTSPTSettings | None = None,
) -> SearchResult:
    """Search with DARTS-PT. Goes on from the run's checkpoint, projections included.

    Leaves `PROJECTION_FILE` in the run. Raises as `hwnas.searches.dsnas.dsnas`.
    """
    problem.budget.check_feasible()
    trainer = DARTSPTTrainer(problem, settings or DARTSPTSettings())
    result = search_with(trainer, run, progress)
    if distributed.rank() == 0:
        write_json(run.folder / PROJECTION_FILE, trainer.record())
    return result


DARTS_PT = Method(
    darts_pt,
    DARTSPTSettings,
    summary="DARTS-PT (arXiv 2108.04392): DARTS's supernet, where the operator stays whose removal hurts most",
    weights="a block per candidate",
    trains="all paths, mixed",
    decides="the accuracy that the supernet loses without a candidate",
    section="DARTS-PT",
)
