"""The TrainedChildren: children of a search that are trained by themselves, where others inherit from a supernet.

That is how predictor-guided searches were published: the accuracy that a predictor learns from is a child's own, and
costs a training. Each child is a resumable run in the search's folder; a search that was stopped, however hard, goes on
behind the children that it has, and with the one that it was training.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, fields

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.run import Run
from hwnas.searches.contracts import Evaluation, EvaluationKind
from hwnas.searches.evaluators import TrainedEvaluator
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.start import start_from
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.loop import TrainingProgress, open_run, seeded
from hwnas.train.weights import WeightSettings

LOG = logging.getLogger(__name__)

CHILDREN_FOLDER, TRAINED_ON_FOLDER = "children", "trained-on"
"""In the folder of the search: a run per child, and one per child whose weights were wanted."""


class TrainedChildren:
    """An Evaluator by training for one search; and the weights of what it takes, trained on for its other epochs.

    Args:
        problem: what is searched; pretrained weights to start from are each child's, too.
        run: of the search.
        settings: of the weights; those of a method that extend `WeightSettings` will do.
        epochs: of each child; None: as many as the search has, so that there are no others.
        most: children in all, for the progress.
        progress: called after each step with (steps done, steps in all, figures).

    Attributes:
        epochs: of each child.

    Raises:
        UsageError: more epochs than the search has, or several processes, which would wait for each other for ever.
    """

    kind: EvaluationKind = "trained"

    def __init__(
        self,
        problem: SearchProblem,
        run: Run,
        settings: WeightSettings,
        epochs: int | None,
        most: int,
        progress: TrainingProgress | None,
    ) -> None:
        self.epochs = epochs or problem.epochs
        self._check(problem)
        self._problem, self._run, self._most, self._progress = problem, run, most, progress
        self._settings = WeightSettings(**{each.name: getattr(settings, each.name) for each in fields(WeightSettings)})
        self._left = problem.epochs - self.epochs
        self._known = 0
        """Children that are evaluated by now."""
        self._logged = 0
        run.rewind(0)  # what is known is told again, from the record
        self._evaluator = TrainedEvaluator(
            problem.data,
            run.folder / CHILDREN_FOLDER,
            problem.seed,
            problem.torch_device,
            self._settings,
            _pretrained(problem),
            self._in_child,
            problem.amp,
        )

    def _check(self, problem: SearchProblem) -> None:
        if self.epochs > problem.epochs:
            raise UsageError(
                f"a child is trained for at most as many epochs as the search has: child_epochs is {self.epochs}, and "
                f"there are {problem.epochs}. Lower it, or raise --epochs."
            )
        if (processes := distributed.world_size()) > 1:
            raise UsageError(
                f"children are trained by themselves in one process, and here are {processes}, which would share each "
                "of them. Leave out torchrun; several searches run at once with `hwnas evaluate --workers`."
            )

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        """Train a child, and say so in a line."""
        found = self._evaluator(architecture, epochs)
        LOG.info(
            "child %d of %d: %.1f %% of the validation images after %d epoch%s (%s)",
            self._known + 1,
            self._most,
            100 * found.score,
            epochs,
            "s" * (epochs > 1),
            architecture.code,
        )
        return found

    def told(self, known: int, _: int, figures: dict[str, float]) -> None:
        """Take note that so many children are evaluated, now or before; other budgets begin with the first again."""
        self._known = known
        if known > self._logged:
            self._run.log({"step": known, **figures})
            self._logged = known
        self._report(known, 0, figures)

    def trained_on(self, architecture: Architecture) -> ChildNetwork:
        """A child with its weights, trained on for the other epochs of the search; goes on where it was stopped."""
        problem = self._problem
        child = self._evaluator.child(architecture, self.epochs)
        if not self._left:
            return child
        decided = {"trained_on": architecture.digest, "from_epochs": self.epochs, "epochs": self._left}
        decided |= {"seed": problem.seed, "images": problem.data.digest, "settings": asdict(self._settings)}
        run = open_run(self._run.folder / TRAINED_ON_FOLDER / architecture.digest[:12], decided)

        def report(step: int, _: int, figures: dict[str, float]) -> None:
            self._report(self._most, step, figures)

        how = problem.torch_device, self._settings, child, problem.amp
        return train_child(architecture, problem.data, run, self._left, problem.seed, report, *how)

    def _in_child(self, step: int, _: int, figures: dict[str, float]) -> None:
        self._report(self._known, step, figures)

    def _report(self, children: int, step: int, figures: dict[str, float]) -> None:
        """Progress, in steps: those of the children before, and so many of this one."""
        if self._progress is not None:
            per_epoch = self._problem.data.steps_per_epoch
            each = self.epochs * per_epoch
            self._progress(children * each + step, self._most * each + self._left * per_epoch, figures)


def _pretrained(problem: SearchProblem) -> SampledNet | None:
    """What holds the weights that children start from; None: they are random."""
    if problem.start is None:
        return None
    with seeded(problem.seed):
        net = SampledNet(problem.budget.space)
    start_from(net, problem.start)
    return net
