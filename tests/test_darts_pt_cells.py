"""DARTS-PT on cells of two inputs: first the operator of every edge, then which two edges a node keeps."""

from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest
import torch

from hwnas.errors import UsageError
from hwnas.searches import perturbation
from hwnas.searches.darts_pt import DARTSPTSettings, DARTSPTTrainer
from hwnas.searches.perturbation import Perturbation
from hwnas.searches.projection import Subject, projection_rounds
from hwnas.searches.snas import SNASSettings, SNASTrainer
from hwnas.supernet.mixed import mixed
from hwnas.supernet.relaxation import by_edge
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_edge_logits import SMALL, SPACE, small_problem, with_random_logits, without_limit
from tests.weekly import weekly_except

PROJECTING = DARTSPTSettings(pretrain=0.0, supernet=0.2, search=1.0)
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


def order_of(space, seed: int = 0) -> list[Subject]:
    return list(chain(*projection_rounds(space, seed)))


def planted(monkeypatch, net: SampledNet, seed: int) -> tuple[dict, list]:
    """The supernet's accuracy falls by the worth of what has no weight; returns it by decision and logit, and what was
    asked for."""
    generator = torch.Generator().manual_seed(seed)
    relaxations = [by_edge(decision) for decision in net.space.decisions]
    worth = {
        (d, k): 0.0 if spec is None else float(torch.rand((), generator=generator)) / 100
        for d, each in enumerate(relaxations)
        for k, spec in enumerate(each.specs)
    }
    asked = []

    def accuracy(_net, weights, _batches, _relaxations):
        asked.append([w.clone() for w in weights])
        lost = sum(worth[d, k] for d, each in enumerate(weights) for k in (each == 0).nonzero().flatten().tolist())
        return 1.0 - lost, lost

    monkeypatch.setattr(perturbation, "mixture_accuracy", accuracy)
    return worth, asked


def test_28_seventeen_rounds_decide_fourteen_operators_and_three_nodes_of_each_cell():
    rounds = projection_rounds(SPACE, 0)
    assert [len(each) for each in rounds] == [2] * 17
    cells = [[subject for subject in chain(*rounds) if subject.decision // 4 == cell] for cell in (0, 1)]
    for first, subjects in zip((0, 4), cells, strict=True):
        assert all(subject.row is not None for subject in subjects[:14]), "operators first"
        assert Counter(subject.decision - first for subject in subjects[:14]) == {0: 2, 1: 3, 2: 4, 3: 5}
        assert {(s.decision - first, s.row) for s in subjects[14:]} == {(1, None), (2, None), (3, None)}
    assert rounds != projection_rounds(SPACE, 1)
    given = list(chain(*projection_rounds(SPACE, 1, "given")))
    assert [s for s in given if s.decision < 4][:3] == [Subject(0, 0), Subject(0, 1), Subject(1, 0)]
    with pytest.raises(UsageError, match="edge_order must be one of random, given"):
        DARTSPTSettings(edge_order="best")
    assert len(projection_rounds(SMALL, 0)) == 6, "five edges and a node in one kind of cell, two edges in the other"


def test_what_hurts_most_stays_and_220_networks_are_evaluated(monkeypatch):
    """7 operators on 14 edges, and 12 edges, in each of the two cells."""
    net = with_random_logits(SampledNet(SPACE, by_edge), 0)
    worth, asked = planted(monkeypatch, net, 0)
    deriver, budget = Perturbation(net, [], order_of(SPACE)), without_limit()
    while len(deriver.made) < len(deriver.order):
        deriver.made.append(deriver.project(budget))
    assert len(asked) == 2 * (14 * 7 + 12)
    for d, (decision, relaxation) in enumerate(zip(SPACE.decisions, deriver.relaxations, strict=True)):
        best = [max((worth[d, k], k) for k in range(row.start + 1, row.stop)) for row in relaxation.rows]
        strongest = sorted(zip(best, relaxation.sources, strict=True), reverse=True)[:2]
        node = decision.candidates[SPACE.indices(deriver.within(budget))[d]]
        assert set(node.edges) == {(source, relaxation.specs[k]) for (_, k), source in strongest}


def test_of_a_row_one_weight_is_set_to_zero_and_of_a_node_a_whole_edge(monkeypatch):
    net = with_random_logits(SampledNet(SPACE, by_edge), 0)
    _, asked = planted(monkeypatch, net, 0)
    deriver = Perturbation(net, [], [Subject(1, 2), Subject(1, None)], exclude_none=False)
    deriver.made.append(deriver.project(without_limit()))
    place = slice(16, 24)
    assert len(asked) == 8, "with `none`"
    for k, weights in enumerate(asked):
        expected = net.mixture()[1].detach().clone()
        expected[place][k] = 0.0
        assert torch.equal(weights[1], expected)
    deriver.project(without_limit())
    whole = deriver.weights()[1]
    assert whole[place].tolist() == [float(k == deriver.made[0].chosen) for k in range(8)]
    for row, weights in enumerate(asked[8:]):
        edge = slice(8 * row, 8 * row + 8)
        assert not weights[1][edge][1:].any()
        assert torch.equal(
            torch.cat([weights[1][: edge.start], weights[1][edge.stop :]]),
            torch.cat([whole[: edge.start], whole[edge.stop :]]),
        )


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("seed", weekly_except([0], range(4)))
def test_a_projection_that_would_leave_no_cell_within_the_budget_is_not_made(monkeypatch, digits, share, seed):
    task = small_problem(digits, share)
    net = SampledNet(SMALL, by_edge)
    planted(monkeypatch, net, seed)
    deriver = Perturbation(net, [], order_of(SMALL, seed), exclude_none=bool(seed % 2))
    found = deriver(task)
    assert task.budget.is_within(found)
    left = [mask.nonzero()[0].tolist() for mask in deriver.allowed()]
    assert left == [[index] for index in SMALL.indices(found)], "one candidate agrees with all that was made"
    assert share > 0.3 or any(None in each.without[1:] for each in deriver.made if each.row is not None)
    smaller = small_problem(digits, share / 2).budget
    if smaller.is_feasible:
        assert smaller.is_within(deriver.within(smaller))


def test_27_every_node_has_two_edges_of_one_operator_and_what_is_projected_has_no_gradient(digits):
    trainer = DARTSPTTrainer(small_problem(digits, 1.5, epochs=5), PROJECTING)
    batch = next(iter(digits.train_batches(0)))
    while not 2 <= len(trainer.projections) < len(trainer.order) - 1:
        trainer.step(*batch)
    gradients = trainer.logit_gradients(*batch)
    made = {(each.decision, row) for each in trainer.projections for row in each.rows}
    for d, (relaxation, weights) in enumerate(zip(trainer.net.relaxations, trainer.mixture(), strict=True)):
        for row, place in enumerate(relaxation.rows):
            assert ((d, row) in made) == (
                sorted(weights[place].tolist()) == [0.0] * (place.stop - place.start - 1) + [1.0]
            )
            assert ((d, row) in made) == (not gradients[d][place].any())
    assert sum(float(p.sum()) for p in trainer.probabilities()) == pytest.approx(3.0)
    trainer.derive()
    assert len(trainer.projections) == len(trainer.order) == 8
    for relaxation, weights, index in zip(trainer.net.relaxations, trainer.mixture(), trainer.derived, strict=True):
        operators = [k for k, w in enumerate(weights) if w != 0 and relaxation.specs[k] is not None]
        assert len(operators) == 2 and torch.equal(relaxation.probabilities(weights).nonzero(), torch.tensor([[index]]))
    path = mixed(trainer.net, IMAGES, trainer.mixture())
    torch.testing.assert_close(path, trainer.net.run_path(IMAGES, trainer.derived), rtol=1e-4, atol=1e-5)
    told = trainer.record()["projections"]
    assert {each["decision"] for each in told} == {d.name for d in SMALL.decisions}
    assert {each["edge"] for each in told} == {0, 1, 2, None}


def test_stopped_between_two_projections_and_continued_equals_uninterrupted(digits, tmp_path):
    def trainer() -> DARTSPTTrainer:
        return DARTSPTTrainer(small_problem(digits, 0.5, epochs=5), replace(PROJECTING, search=0.8))

    batches = [list(digits.train_batches(epoch)) for epoch in range(5)]
    whole, stopped = trainer(), trainer()
    for batch in chain(*batches):
        whole.step(*batch)
        if whole.step_count == whole.supernet_steps + 1:
            state = whole.state_dict()
            torch.save(state, path := tmp_path / "state.pt")
            stopped.load_state_dict(torch.load(path, weights_only=False))
            assert 0 < len(stopped.projections) < len(stopped.order)
            begun = whole.step_count
    for batch in list(chain(*batches))[begun:]:
        stopped.step(*batch)
    assert stopped.projections == whole.projections and stopped.derived == whole.derived
    ours, theirs = whole.net.state_dict(), stopped.net.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_supernet_with_logits_of_whole_nodes_is_projected_by_edges_too(digits):
    trainer = SNASTrainer(small_problem(digits, 0.3), SNASSettings(pretrain=0.0, search=1.0, derive="perturbed"))
    trainer.step(*next(iter(digits.train_batches(0))))
    deriver = trainer.deriver()
    found = mixed(trainer.net, IMAGES, deriver.weights(), deriver.relaxations)
    expected = mixed(trainer.net, IMAGES, trainer.net.probabilities())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    trainer.derive()
    assert trainer.budget.is_within(SMALL.decode(trainer.derived))
