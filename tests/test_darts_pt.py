"""DARTS-PT: what a projection compares and keeps, also under a budget, and what is trained in between."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.searches.darts_pt import DARTSPTSettings, DARTSPTTrainer
from hwnas.searches.perturbation import Perturbation, mixture_accuracy, worth
from hwnas.searches.problem import SearchProblem
from hwnas.searches.projection import Projection, Subject, projection_rounds
from hwnas.searches.snas import SNASSettings, SNASTrainer
from hwnas.spaces import get_space
from hwnas.supernet.relaxation import Relaxation
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_darts import CELLS, fitted

PROJECTING = DARTSPTSettings(pretrain=0.0, supernet=0.5, search=1.0)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


def problem(data, share: float = 1.5, epochs: int = 6) -> SearchProblem:
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(CELLS))
    return SearchProblem(data, Budget(fastest + share * (slowest - fastest), CELLS, predictor), epochs)


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 3, 8, 8, generator=generator), torch.randint(0, 10, (16,), generator=generator))]


def where_3x3_alone_carries_signal() -> SampledNet:
    """Every other candidate gives nearly nothing, and has the larger logit."""
    torch.manual_seed(0)
    net = SampledNet(CELLS)
    with torch.no_grad():
        for alpha in net.alphas:
            alpha.copy_(torch.tensor([0.5, 0.2, 0.3, -2.0, 0.4]))
    for places in net.choices().values():
        for choice in places:
            for k in (1, 2, 4):
                choice[k].register_forward_hook(lambda _module, _inputs, out: 1e-6 * out)
    return net


def test_29_the_candidate_that_carries_the_signal_is_kept_though_its_logit_is_the_smallest(digits):
    net = where_3x3_alone_carries_signal()
    images = batches()[0][0]
    labels = net.train().run(images, _mixtures(net)).argmax(1)  # what the whole supernet says
    deriver = Perturbation(net, [(images, labels)], [Subject(5)])
    made = deriver.project(problem(digits).budget)
    assert made.chosen == 3
    assert made.without[0] is None, "no edge is left out where the budget does not ask for it"
    assert min(made.without[k][0] for k in (1, 2, 4)) > made.without[3][0]


def _mixtures(net: SampledNet):
    from hwnas.supernet.choice import Mixture

    weights = [share.detach() for share in net.probabilities()]
    return dict(zip(net.names, map(Mixture, weights), strict=True))


def test_one_weight_is_set_to_zero_and_the_others_stay_what_they_are(digits, monkeypatch):
    import hwnas.searches.perturbation as module

    net, seen = SampledNet(CELLS), []
    monkeypatch.setattr(module, "mixture_accuracy", lambda _net, weights, *_: (seen.append(weights), (0.5, 1.0))[1])
    deriver = Perturbation(net, batches(), [Subject(2), Subject(0)], exclude_none=False)
    deriver.made.append(deriver.project(problem(digits).budget))
    assert len(seen) == 5
    for k, weights in enumerate(seen):
        for decision, (found, whole) in enumerate(zip(weights, net.probabilities(), strict=True)):
            expected = whole.detach().clone()
            expected[k] = 0.0 if decision == 2 else expected[k]
            assert torch.equal(found, expected)
    deriver.project(problem(digits).budget)
    assert seen[-1][2].tolist() == [float(k == deriver.made[0].chosen) for k in range(5)]


def test_what_is_compared_leaves_the_supernet_as_it_was():
    torch.manual_seed(0)
    net = SampledNet(CELLS).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    weights = [share.detach() for share in net.probabilities()]
    found = mixture_accuracy(net, weights, batches())
    assert found == mixture_accuracy(net, weights, batches())
    assert not net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_a_projection_that_would_leave_no_architecture_within_the_budget_is_not_made(digits, share, monkeypatch):
    import hwnas.searches.perturbation as module

    task = problem(digits, share)
    worth = np.array([0.0, 0.1, 0.2, 0.9, 0.3])  # 3x3 everywhere, which is over the budget
    asked = []

    def accuracy(_net, weights, *_):
        removed = next(int((w == 0).nonzero()[0]) for w in weights if int((w == 0).sum()) == 1)
        asked.append(removed)
        return 1.0 - worth[removed], 1.0

    monkeypatch.setattr(module, "mixture_accuracy", accuracy)
    order = list(itertools.chain(*projection_rounds(CELLS, 1)))
    deriver = Perturbation(SampledNet(CELLS), batches(), order, exclude_none=False)
    found = deriver(task)
    assert task.budget.is_within(found)
    assert [each.chosen for each in sorted(deriver.made, key=lambda each: each.decision)] == list(CELLS.indices(found))
    for each in deriver.made:  # nothing better was left that could have been completed
        known = [k for k, value in enumerate(each.without) if value is not None]
        assert each.chosen == max(known, key=lambda k: worth[k])
    assert any(None in each.without for each in deriver.made)
    assert deriver.evaluations[found].kind == "inherited"
    smaller = problem(digits, share / 2)
    if smaller.budget.is_feasible:
        assert smaller.budget.is_within(deriver.within(smaller.budget))


def test_28_projections_begin_with_the_fine_tuning_end_with_it_and_lie_equally_far_apart(digits):
    trainer = DARTSPTTrainer(problem(digits), replace(PROJECTING, supernet=0.2))
    trainer.supernet_steps, trainer.search_steps = 100, 125
    due = []
    for step in range(126):
        trainer.step_count = step
        due.append(trainer.due)
    assert [step for step in range(1, 126) if due[step] > due[step - 1]] == [100, 105, 110, 115, 120, 125]
    assert due[-1] == 6
    published = DARTSPTSettings.published()
    assert (published.supernet, published.search) == (100 / 125, 1.0)


def test_27_projected_decisions_are_one_hot_and_their_logits_have_no_gradient(digits):
    trainer = DARTSPTTrainer(problem(digits), PROJECTING)
    batch = next(iter(digits.train_batches(0)))
    while len(trainer.projections) < 3:
        trainer.step(*batch)
    made = [each.decision for each in trainer.projections]
    gradients = trainer.logit_gradients(*batch)
    for decision, (weights, gradient) in enumerate(zip(trainer.probabilities(), gradients, strict=True)):
        assert (decision in made) == (sorted(weights.tolist()) == [0.0, 0.0, 0.0, 0.0, 1.0])
        assert (decision in made) == (not gradient.any())
    trainer.derive()
    assert len(trainer.projections) == 6
    assert trainer.derived == [each.chosen for each in sorted(trainer.projections, key=lambda each: each.decision)]
    assert set(trainer.record()) == {"supernet", "probable", "projections"}


def test_fine_tuning_has_a_fresh_optimiser_at_a_tenth_of_the_rate(digits):
    trainer = DARTSPTTrainer(problem(digits), replace(PROJECTING, lr_warmup=0.0))
    full = trainer.weights.optimizer.param_groups[0]["lr"]
    batch = next(iter(digits.train_batches(0)))
    while trainer.step_count < trainer.supernet_steps:
        trainer.step(*batch)
    before = trainer.weights
    trainer.step(*batch)
    assert trainer.weights is not before
    assert trainer.weights.schedule.base_lrs[0] == pytest.approx(0.1 * full)
    again = DARTSPTTrainer(problem(digits), replace(PROJECTING, lr_warmup=0.0))
    again.load_state_dict(trainer.state_dict())
    assert again.weights.schedule.base_lrs == trainer.weights.schedule.base_lrs
    assert again.projections == trainer.projections


def test_blank_leaves_the_logits_uniform(digits):
    trainer = DARTSPTTrainer(problem(digits), replace(PROJECTING, blank=True))
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    for _ in range(8):
        trainer.step(*next(iter(digits.train_batches(0))))
    assert trainer.projections
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True))


@pytest.mark.weekly
def test_every_mixed_supernet_can_be_projected(digits):
    trainer = SNASTrainer(problem(digits, 0.3), SNASSettings(pretrain=0.0, search=1.0, derive="perturbed"))
    trainer.step(*next(iter(digits.train_batches(0))))
    trainer.derive()
    assert trainer.budget.is_within(CELLS.decode(trainer.derived))


def test_settings_that_perturbation_does_not_heed_are_refused():
    for given in ({"derive": "probable"}, {"decode": "mean"}, {"fixing_gap": 0.3}):
        with pytest.raises(UsageError, match="perturbation alone"):
            DARTSPTSettings(**given)
    with pytest.raises(UsageError, match="supernet"):
        DARTSPTSettings(supernet=0.7, search=0.6)
    made = Projection(0, 0, 1, [[0.5, 1.0], [0.6, 1.0], None, None, None])
    assert worth(made, Relaxation(CELLS.decisions[0])).argmax() == 1


def test_nothing_is_dropped_where_mixtures_are_compared():
    space = get_space("lite-5", 32)
    torch.manual_seed(0)
    net = SampledNet(space).train()
    with torch.no_grad():
        next(part for part in net.modules() if isinstance(part, nn.Linear)).weight.mul_(20)
    images = [(torch.randn(8, 3, 32, 32), torch.randint(0, 10, (8,)))]
    weights = [torch.ones(len(each.candidates)) / len(each.candidates) for each in space.decisions]
    assert mixture_accuracy(net, weights, images) == mixture_accuracy(net, weights, images)
    assert next(part for part in net.modules() if isinstance(part, nn.Dropout)).training


def test_a_last_batch_of_one_image_is_left_out_since_it_has_no_statistics():
    torch.manual_seed(0)
    net, (many,) = SampledNet(CELLS), batches()
    weights = [torch.full((5,), 0.2) for _ in CELLS.decisions]
    assert mixture_accuracy(net, weights, [many, (many[0][:1], many[1][:1])]) == mixture_accuracy(net, weights, [many])
