"""Logits per edge of cells of two inputs, as DARTS has them: mixture, probabilities, what is derived, CDARTS's L1."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.searches.cdarts import CDARTSTrainer
from hwnas.searches.cdarts_settings import CDARTSSettings
from hwnas.searches.cyclic_losses import l1
from hwnas.searches.darts import DARTSSettings, DARTSTrainer
from hwnas.searches.derivers import MostProbable
from hwnas.searches.problem import SearchProblem
from hwnas.spaces import get_space
from hwnas.spaces.darts_operators import OPERATORS, name_of
from hwnas.supernet.relaxation import EdgeRelaxation, Relaxation, by_edge
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.latency_tables import made_table
from tests.test_latency_darts import small_space
from tests.weekly import weekly_except

SPACE = get_space("darts", cells=3, channels=4, resolution=8)
SMALL = small_space(num_classes=10, side=8)
CODES = list(itertools.product(*(range(len(d.candidates)) for d in SMALL.decisions)))


@cache
def fitted() -> AdditivePredictor:
    return fit(made_table(SMALL, networks=16, seed=0), SMALL)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.3, workers=0)


def small_problem(data, share: float = 0.5, epochs: int = 2) -> SearchProblem:
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).high_ms for a in predictor.extremes(SMALL))
    return SearchProblem(data, Budget(fastest + share * (slowest - fastest), SMALL, predictor), epochs)


def with_random_logits(net: SampledNet, seed: int, scale: float = 1.0) -> SampledNet:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for alpha in net.alphas:
            alpha.copy_(scale * torch.randn(len(alpha), generator=generator))
    return net


def test_a_cell_has_eight_logits_for_each_of_its_fourteen_edges():
    net = SampledNet(SPACE, by_edge)
    assert [len(alpha) for alpha in net.alphas] == [16, 24, 32, 40] * 2
    for relaxation in net.relaxations:
        for row in relaxation.rows:
            none, *specs = relaxation.specs[row]
            assert none is None
            assert sorted(map(name_of, specs)) == sorted(OPERATORS)
    assert [len(alpha) for alpha in SampledNet(SPACE).alphas] == [49, 147, 294, 490] * 2


@pytest.mark.parametrize("mean", [False, True])
def test_the_mixture_of_a_node_is_the_sum_over_its_edges_of_their_softmax(mean):
    """Equation 2 of DARTS on each edge, `none` being zero; the mean over the edges in CDARTS's code."""
    torch.manual_seed(0)
    net = with_random_logits(SampledNet(SPACE, lambda one_of: by_edge(one_of, mean)), 1).eval()
    choice, place = net.choices()["normal node 3"][0], net.names.index("normal node 3")
    states = [torch.randn(2, 4, 8, 8) for _ in range(3)]
    operators = dict(zip(choice.edges, choice.operators, strict=True))
    shares = net.alphas[place].detach().view(3, 8).softmax(1)
    relaxation = net.relaxations[place]
    with torch.no_grad():
        expected = torch.zeros(2, 4, 8, 8)
        for source, (row, edge) in enumerate(zip(relaxation.rows, shares, strict=True)):
            for spec, share in zip(relaxation.specs[row], edge, strict=True):
                expected += share * operators[source, spec](states[source]) if spec is not None else 0.0
        found = relaxation.selection(net.mixture()[place])(choice, states)
    torch.testing.assert_close(found, expected / 3 if mean else expected, rtol=1e-4, atol=1e-5)


def derived_as_published(shares: torch.Tensor, relaxation: EdgeRelaxation) -> set[tuple[int, object]]:
    """Section 2.4: of each edge the strongest operator but `none`, of a node the two edges where that is strongest."""
    best = []
    for source, row in zip(relaxation.sources, relaxation.rows, strict=True):
        share, place = max((float(shares[k]), k) for k in range(row.start + 1, row.stop))
        best.append((share, (source, relaxation.specs[place])))
    return {edge for _, edge in sorted(best, key=lambda each: -each[0])[:2]}


@pytest.mark.parametrize("seed", weekly_except([0, 1], range(5)))
def test_the_most_probable_node_is_what_the_paper_derives(seed):
    net = with_random_logits(SampledNet(SPACE, by_edge), seed)
    chosen = SPACE.indices(MostProbable(net).within(without_limit()))
    for decision, relaxation, mixture, index in zip(
        SPACE.decisions, net.relaxations, [w.detach() for w in net.mixture()], chosen, strict=True
    ):
        assert set(decision.candidates[index].edges) == derived_as_published(mixture, relaxation)


def without_limit() -> Budget:
    costs_ms = {block: 0.01 + block[0].macs(block[1]) / 1e7 for block in SPACE.distinct_blocks()}
    return Budget(1e6, SPACE, AdditivePredictor.block_sum(costs_ms))


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_a_node_is_as_probable_as_the_product_of_its_edges_says(scale):
    """Also where a softmax is so sharp that products vanish."""
    net = with_random_logits(SampledNet(SPACE, by_edge).double(), 3, scale)
    for decision, relaxation, alpha, found in zip(
        SPACE.decisions, net.relaxations, net.alphas, net.probabilities(), strict=True
    ):
        logs = alpha.detach().view(-1, 8).log_softmax(1).flatten()
        place = {
            (source, spec): k
            for source, row in zip(relaxation.sources, relaxation.rows, strict=True)
            for k, spec in enumerate(relaxation.specs[row], row.start)
        }
        expected = torch.stack([sum(logs[place[edge]] for edge in node.edges) for node in decision.candidates])
        torch.testing.assert_close(found.detach(), expected.softmax(0), rtol=1e-6, atol=1e-9)
        (gradient,) = torch.autograd.grad(found.max(), alpha)
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_expected_ms_and_decoding_are_those_of_all_cells(share, digits):
    net, task = with_random_logits(SampledNet(SMALL, by_edge), 4), small_problem(digits, share)
    predictor, probabilities = task.budget.predictor, [p.detach() for p in net.probabilities()]
    weight = {
        code: float(torch.stack([p[k] for p, k in zip(probabilities, code, strict=True)]).prod()) for code in CODES
    }
    predictions = dict(zip(CODES, predictor.predict_many([SMALL.decode(code) for code in CODES]), strict=True))
    assert sum(weight.values()) == pytest.approx(1.0)
    mean_ms = sum(weight[code] * predictions[code].ms for code in CODES)
    expected = predictor.expected_ms(SMALL, net.probabilities())
    assert float(expected.detach()) == pytest.approx(mean_ms, rel=1e-4)
    assert all(bool(g.any()) for g in torch.autograd.grad(expected, list(net.alphas)))
    within = [code for code in CODES if predictions[code].high_ms <= task.budget.budget_ms]
    assert SMALL.indices(MostProbable(net).within(task.budget)) == max(within, key=weight.__getitem__)


def test_darts_and_cdarts_have_logits_per_edge_and_other_spaces_per_candidate(digits):
    trainer = DARTSTrainer(small_problem(digits), DARTSSettings(pretrain=0.0, search=1.0))
    assert all(isinstance(each, EdgeRelaxation) for each in trainer.net.relaxations)
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    trainer.step(*next(iter(digits.train_batches(0))))
    moved = [bool((old != new).all()) for old, new in zip(before, trainer.net.alphas, strict=True)]
    assert all(moved), "those of `none`, too: they scale their edge's operators down"
    assert [len(p) for p in trainer.probabilities()] == [4, 12, 9]
    chain = get_space("tiny")
    assert all(type(by_edge(decision)) is Relaxation for decision in chain.decisions)


def test_a_node_that_is_fixed_early_is_mixed_no_more(digits):
    trainer = DARTSTrainer(small_problem(digits), DARTSSettings(pretrain=0.0, search=1.0, fixing_gap=-1.0))
    trainer.step(*next(iter(digits.train_batches(0))))
    assert len(trainer.fixed) == 3
    for probabilities, relaxation, weights in zip(
        trainer.probabilities(), trainer.net.relaxations, trainer.mixture(), strict=True
    ):
        assert float(probabilities.max()) == 1.0 and not weights.requires_grad
        assert sorted(weights.tolist()) == [0.0] * (len(weights) - 2) + [1.0] * 2
        assert len(weights) == len(relaxation.specs)


def test_24_cdarts_presses_the_logits_of_skips_and_pools_on_every_edge(digits):
    trainer = CDARTSTrainer(small_problem(digits), CDARTSSettings())
    alphas = list(with_random_logits(trainer.net.search, 5).alphas)
    (5.0 * l1(alphas, trainer.regularised)).backward()
    for alpha, relaxation in zip(alphas, trainer.net.search.relaxations, strict=True):
        for value, gradient, spec in zip(alpha.detach(), alpha.grad, relaxation.specs, strict=True):
            pressed = spec is not None and spec.kind in ("skip", "max_pool", "factorised_reduction")
            assert float(gradient) == (5.0 * float(value.sign()) if pressed else 0.0)


def test_cdarts_searches_by_edges_and_averages_them_as_published(digits):
    settings = replace(CDARTSSettings.published(), pretrain=0.0, evaluation_warmup=0.0)
    trainer = CDARTSTrainer(small_problem(digits), settings)
    assert [each.scale for each in trainer.net.search.relaxations] == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    trainer.step(*next(iter(digits.train_batches(0))))
    assert all(not torch.equal(old, new) for old, new in zip(before, trainer.net.alphas, strict=True))
    assert CDARTSSettings().edges == "sum"
