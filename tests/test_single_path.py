"""Single-Path NAS: invariants 5, 6, 8, 9 and 11 on the published table; the budget, stops, frontiers, Single-Path+."""

import itertools
import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches.frontier import frontier
from hwnas.searches.lambda_search import LambdaSearchSettings, lambda_search
from hwnas.searches.problem import SearchProblem
from hwnas.searches.product_model import product_factors
from hwnas.searches.registry import get_search
from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer, single_path
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.supernet.indicator import Indicator
from hwnas.supernet.superkernel import BlockIndicators
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.data import load_data
from tests.test_latency import made_table
from tests.test_superkernel import by_hand, set_choice
from tests.weekly import weekly_except

SPACE = get_space("tiny", resolution=16, width=0.25)
PAPER = get_space("single-path")
PUBLISHED = [0, 0, 0, 4, 3, 0, 0, 0, 3, 0, 0, 0, 3, 2, 2, 2, 3, 3, 3, 3]


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=128, val_fraction=0.05, workers=0)


@cache
def fitted(space: SearchSpace) -> AdditivePredictor:
    return fit(made_table(space, networks=12))


def problem(data, epochs=3, budget_share=0.5, seed=0, space=SPACE) -> SearchProblem:
    predictor = fitted(space)
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(space))
    return SearchProblem(data, Budget(fastest + budget_share * (slowest - fastest), space, predictor), epochs, seed)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search that is long enough to learn something, its run, and its problem."""
    data = load_data("digits", resolution=16, batch_size=32, limit_train=512, workers=0)
    task = problem(data, epochs=10, budget_share=0.4)
    run = Run(tmp_path_factory.mktemp("searched") / "run", {})
    return single_path(task, run), run, task


# the published latency model


@pytest.fixture(scope="module")
def layers_ms(shared_data) -> list[list[float]]:
    """The 20 searched layers of the Pixel 1 table, four candidates each."""
    return json.loads((shared_data / "latency" / "pixel1_single_path.json").read_text())["layers_ms"][1:21]


def pixel1(layers_ms) -> AdditivePredictor:
    """With a row of costs per layer, as published."""

    class PerLayer(AdditivePredictor):
        def decision_costs(self, space):
            pairs = zip(space.decisions, layers_ms, strict=True)
            return 19.5999, [np.array([*row, 0.0][: len(d.candidates)]) for d, row in pairs]

    nothing = AdditivePredictor.block_sum({})
    return PerLayer(nothing.terms, {}, nothing.uncertainty, nothing.card)


@pytest.fixture(scope="module")
def paper_net():
    return SuperKernelNet(get_space("single-path", resolution=32, num_classes=10, width=0.25))


TRIPLES = {0: (0, 0, 1), 1: (0, 1, 1), 2: (1, 0, 1), 3: (1, 1, 1), 4: (1, 1, 0)}
"""(d5, d100, d50) of every candidate."""


def indicators_of(net, triples) -> list[BlockIndicators]:
    blocks = []
    for node, (d5, d100, d50) in zip(net.superkernels(), triples, strict=True):
        blocks.append(by_hand([d5], [d100], keep=[d50] if node.nesting.skip else []))
    return blocks


def total_ms(net, predictor, triples, product: bool) -> float:
    gates = net.candidate_gates(indicators_of(net, triples))
    if product:
        gates = [g * torch.as_tensor(f) for g, f in zip(gates, product_factors(PAPER, predictor), strict=True)]
    return float(predictor.expected_ms(PAPER, gates))


@pytest.mark.parametrize(
    ("code", "product_ms", "table_ms"),
    [
        ([0] * 20, 65.6356, 65.69),
        ([1] * 20, 110.6524, 110.6524),
        ([2] * 20, 76.3622, 76.3622),
        ([3] * 20, 131.4578, 131.4578),
        (PUBLISHED, 80.5926, 80.4411),
    ],
)
def test_5_decided_indicators_cost_what_is_published(paper_net, layers_ms, code, product_ms, table_ms):
    triples = [TRIPLES[i] for i in code]
    assert total_ms(paper_net, pixel1(layers_ms), triples, product=True) == pytest.approx(product_ms, abs=1e-3)
    assert total_ms(paper_net, pixel1(layers_ms), triples, product=False) == pytest.approx(table_ms, abs=6e-3)


def block_ms(r, d5, d100, d50):
    """R of one block as the authors' code computes it."""
    ratio = r[1] / r[3]
    common = d50 * (r[2] + d100 * (r[3] - r[2]))
    return common * ratio + common * (1 - ratio) * d5


def test_5_the_product_form_is_the_authors_formula_for_any_indicators(paper_net, layers_ms):
    rng = np.random.default_rng(0)
    triples = rng.uniform(0, 1.7, (20, 3))
    triples[::4, 2] = 1  # the first block of a stage cannot be dropped
    expected = 19.5999 + sum(block_ms(r, *triple) for r, triple in zip(layers_ms, triples, strict=True))
    assert total_ms(paper_net, pixel1(layers_ms), triples, product=True) == pytest.approx(expected)


def test_6_latency_can_only_push_towards_less(paper_net, layers_ms):
    """Its derivatives in the indicators are the formula's, and none is negative."""
    rng = np.random.default_rng(1)
    predictor = pixel1(layers_ms)
    factors = [torch.as_tensor(f) for f in product_factors(PAPER, predictor)]
    for _ in range(20):
        triples = rng.integers(0, 2, (20, 3)).astype(float)
        triples[::4, 2] = 1
        blocks = indicators_of(paper_net, triples)
        values = [axis.value.requires_grad_(True) for b in blocks for axis in (b.kernel, b.width, b.keep)]
        gates = paper_net.candidate_gates(blocks)
        predictor.expected_ms(PAPER, [g * f for g, f in zip(gates, factors, strict=True)]).backward()
        assert all((v.grad >= -1e-12).all() for v in values if len(v))
        for block, r, (d5, d100, d50) in zip(blocks, layers_ms, triples, strict=True):
            ratio = r[1] / r[3]
            common = d50 * (r[2] + d100 * (r[3] - r[2]))
            assert float(block.kernel.value.grad) == pytest.approx(common * (1 - ratio), abs=1e-9)
            slope = d50 * (r[3] - r[2]) * (ratio + (1 - ratio) * d5)
            assert float(block.width.value.grad) == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("product", [True, False])
def test_9_dropout_leaves_the_mean_latency_at_131_458(paper_net, layers_ms, product):
    """The exact mean: R is a sum over blocks, and each has at most eight combinations of dropped indicators."""
    predictor = pixel1(layers_ms)
    mean = 19.5999
    for index in (0, 1):  # blocks that cannot be dropped, and others
        for values in itertools.product((0.0, 1 / 0.6), repeat=3):
            triples = np.zeros((20, 3))
            triples[:] = values
            weight = np.prod([0.6 if v else 0.4 for v in values])
            first = np.arange(20) % 4 == 0
            triples[first, 2] = 1
            gates = paper_net.candidate_gates(indicators_of(paper_net, triples))
            if product:
                factors = product_factors(PAPER, predictor)
                gates = [g * torch.as_tensor(f) for g, f in zip(gates, factors, strict=True)]
            costs = predictor.decision_costs(PAPER)[1]
            block = [float(g.numpy() @ c) for g, c in zip(gates, costs, strict=True)]
            mean += weight * sum(ms for ms, is_first in zip(block, first, strict=True) if is_first == (index == 0))
    assert mean == pytest.approx(131.4578, abs=1e-3)


@pytest.mark.parametrize(
    ("code", "macs", "params"),
    [
        (PUBLISHED, 333_467_072, 4_421_616),
        ([0] * 20, 272.13e6, 3_494_328),
        ([1] * 20, 472.62e6, 4_684_776),
        ([2] * 20, 298.47e6, 3_568_824),
        ([3] * 20, 525.31e6, 4_833_768),
    ],
)
def test_11_children_have_the_published_sizes(code, macs, params):
    architecture = PAPER.decode(code)
    # of the uniform networks five digits are known
    assert architecture.macs == (macs if isinstance(macs, int) else pytest.approx(macs, abs=6e3))
    assert architecture.params == params


def test_11_what_the_supernet_hands_on_has_that_size_too():
    net = SuperKernelNet(get_space("single-path", resolution=32))
    child = net.inherit(net.space.decode(PUBLISHED))
    assert sum(p.numel() for p in child.parameters()) == 4_421_616


# the search


def trainer_at(data, step: int, **settings) -> SinglePathTrainer:
    trainer = SinglePathTrainer(problem(data, epochs=4), SinglePathSettings(**settings))
    for batch in itertools.islice(itertools.cycle(data.train_batches(0)), step):
        trainer.step(*batch)
    return trainer


def test_8_latency_does_not_count_in_the_warm_up(digits):
    """Two budgets, one training: bit for bit until the warm-up ends, and different after it."""
    trainers = [
        SinglePathTrainer(problem(digits, 4, share), SinglePathSettings(warmup=0.5, search=1.0, descent=0.0))
        for share in (0.01, 0.99)
    ]
    for step, batch in enumerate(
        itertools.chain(digits.train_batches(0), digits.train_batches(1), digits.train_batches(2))
    ):
        for trainer in trainers:
            trainer.step(*batch)
        same = all(torch.equal(p, q) for p, q in zip(*(t.net.parameters() for t in trainers), strict=True))
        assert same == (step < 8), step


def test_8_the_published_term_has_the_slope_1000_lambda_over_r(digits):
    trainer = SinglePathTrainer(problem(digits), SinglePathSettings(warmup=0.0, latency_weight=0.02))
    term, ms = trainer.latency_term(trainer.net.indicators())
    assert ms == pytest.approx(trainer.chosen_ms(), rel=1e-5)
    assert float(term.detach()) == pytest.approx(20 * np.log(ms), rel=1e-5)
    threshold = next(p for name, p in trainer.net.architecture_parameters() if "kernel" in name)
    slope = torch.autograd.grad(term, threshold, retain_graph=True)[0]
    gates = trainer.net.candidate_gates(trainer.net.indicators())
    r = trainer.budget.predictor.expected_ms(SPACE, gates)
    torch.testing.assert_close(slope, 20 / ms * torch.autograd.grad(r, threshold)[0], rtol=1e-4, atol=1e-8)


def test_indicators_drop_out_in_the_warm_up_only(digits):
    trainer = SinglePathTrainer(problem(digits), SinglePathSettings(keep=0.5))
    values = {v for b in trainer.indicators() for v in b.width.value.tolist()}
    assert values == {0.0, 2.0}
    trainer.step_count = trainer.warmup_steps
    assert {v for b in trainer.indicators() for v in b.width.value.tolist()} == {1.0}


def test_the_limit_falls_from_the_largest_network_to_the_budget(digits):
    trainer = SinglePathTrainer(problem(digits, epochs=20), SinglePathSettings())
    limits = []
    for step in range(trainer.warmup_steps, trainer.search_steps):
        trainer.step_count = step
        limits.append(trainer.descending_budget().budget_ms)
    budget = trainer.problem.budget
    assert limits[0] / (1 + budget.predictor.half_width) == pytest.approx(
        budget.predictor.predict(budget.predictor.extremes(budget.space)[1]).ms
    )
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == budget.budget_ms


@pytest.mark.weekly
def test_a_search_follows_its_budget_and_ends_within_it(searched):
    result, run, task = searched
    budget = task.budget
    assert budget.predictor.predict(result.architecture).high_ms <= budget.budget_ms * (1 + 1e-9)
    records = run.metrics()
    started = [r["expected_ms"] for r in records if r["step"] <= 10]
    ended = [r["expected_ms"] for r in records if 0.45 * len(records) < r["step"] <= 0.5 * len(records)]
    assert np.mean(started) > 1.3 * budget.target_ms
    assert np.mean(ended) < 1.2 * budget.target_ms


def test_a_search_hands_over_a_child_that_has_learnt(searched):
    result, _, _ = searched
    child = result.derive()
    assert result.val_accuracy(child) > 0.7  # guessing is 0.1
    assert child.architecture == result.architecture


def test_the_picture_of_a_search_shows_latency_against_the_budget(searched):
    pytest.importorskip("matplotlib").use("agg")
    from hwnas.report.pictures import plot_search

    _, run, task = searched
    figure = plot_search(run.metrics(), task.budget.budget_ms)
    lines = figure.axes[1].get_lines()
    assert list(lines[0].get_ydata()) == [r["expected_ms"] for r in run.metrics()]
    assert list(lines[1].get_ydata()) == [task.budget.budget_ms] * 2
    overflown = [{**record, "loss": None} if number == 3 else record for number, record in enumerate(run.metrics())]
    assert len(plot_search(overflown, 1.0).axes[1].get_lines()[0].get_ydata()) == len(overflown) - 1


def test_a_frontier_gives_each_budget_its_own_network_and_less_for_less(searched):
    result, _, task = searched
    predictor = task.budget.predictor
    fastest = predictor.predict(predictor.extremes(SPACE)[0]).high_ms
    budgets = np.linspace(fastest * 1.001, task.budget.budget_ms, 4)
    results = frontier(result, budgets)
    found = [predictor.predict(r.architecture).high_ms for r in results]
    assert all(ms <= b for ms, b in zip(found, sorted(budgets, reverse=True), strict=True))
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 2
    child = results[-1].derive()
    assert child.architecture == results[-1].architecture
    with pytest.raises(UsageError, match="Search at the largest budget"):
        frontier(result, [2 * task.budget.budget_ms])
    with pytest.raises(HwnasError, match="cannot be met"):
        frontier(result, [fastest * 0.1])


def test_a_loose_budget_decodes_to_what_the_indicators_choose(digits):
    from hwnas.searches.derivers import MostProbable

    task = problem(digits, budget_share=1.2)
    net = SuperKernelNet(SPACE)
    for node, index in zip(net.superkernels(), [0, 4, 2, 1, 3, 0, 4], strict=True):
        set_choice(node, node.nesting.one_of.candidates[index])
    with torch.no_grad():
        for _, thresholds in net.architecture_parameters():
            thresholds.clamp_(-0.2, 0.6)  # near the sizes of the weights: decided, but not by much
    assert SPACE.indices(MostProbable(net)(task)) == tuple(net.chosen())


class Stop(Exception):
    pass


def assert_same(a, b) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, digits, few_evaluations):
    """A short search and its run."""
    run = Run(tmp_path_factory.mktemp("uninterrupted") / "run", {})
    return single_path(problem(digits), run), run


@pytest.mark.parametrize("stop_at", weekly_except([5], [1, 3, 5, 6, 11]))
def test_stopped_at_any_step_and_continued_equals_uninterrupted_bit_for_bit(tmp_path, digits, uninterrupted, stop_at):
    """In the warm-up (to step 3), the search (to 6), and the training of what was taken."""
    whole, run = uninterrupted
    settings = SinglePathSettings(checkpoint_seconds=0.0)

    def stop(done, _total, _figures):
        if done == stop_at + 1:
            raise Stop  # one step after the last checkpoint: that step must be repeated, not counted twice

    with pytest.raises(Stop):
        single_path(problem(digits), Run(tmp_path / "stopped", {}), stop, settings)
    torch.manual_seed(99)  # another process has another global state
    again = single_path(problem(digits), Run(tmp_path / "stopped", {}), settings=settings)
    assert_same(whole.net, again.net)
    assert whole.architecture == again.architecture
    assert Run(tmp_path / "stopped", {}).metrics() == run.metrics()


def test_after_the_hand_over_only_the_taken_part_is_trained(digits):
    trainer = trainer_at(digits, 8, search=0.5)
    trainer.step(*next(iter(digits.train_batches(2))))
    assert trainer.derived is not None
    for node, index in zip(trainer.net.superkernels(), trainer.derived, strict=True):
        spec = node.nesting.one_of.candidates[index]
        node.block.zero_grad(set_to_none=False)
        if spec.is_identity:
            continue
        hidden = spec.hidden_channels
        trainer.net.train().run_path(torch.randn(4, 3, 16, 16), trainer.derived).square().sum().backward()
        gradient = node.block.project[0].weight.grad
        assert gradient[:, :hidden].any()
        assert not gradient[:, hidden:].any()
    assert trainer.chosen_ms() == pytest.approx(
        trainer.budget.predictor.predict(SPACE.decode(trainer.derived)).ms, rel=1e-5
    )


def test_the_published_settings_run(tmp_path, digits):
    """Plain norms, masks in the kernel, lambda, product form; what is taken at the end is within the budget."""
    settings = SinglePathSettings.published()
    task = problem(digits, epochs=2)
    result = single_path(task, Run(tmp_path / "run", {}), settings=settings)
    assert task.budget.predictor.predict(result.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)
    trainer = SinglePathTrainer(task, settings)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.016 * 32 / 256)
    assert (trainer.warmup_steps, trainer.search_steps, trainer.total_steps) == (5, 8, 8)


def test_the_search_over_lambda_brackets_the_budget_and_resumes(tmp_path, digits):
    task = problem(digits, epochs=2, budget_share=0.4)
    settings = LambdaSearchSettings(trials=3, warmup=0.1, search=0.8, lowest=1e-4, highest=1.0)
    run = Run(tmp_path / "run", {})
    result = lambda_search(task, run, settings=settings)
    assert task.budget.predictor.predict(result.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)
    trials = run.metrics()
    assert len(trials) == 3
    for now, following in itertools.pairwise(trials):  # over the budget: more weight next, and less otherwise
        over = now["expected_ms"] > task.budget.target_ms
        assert (following["lambda"] > now["lambda"]) == over
    again = lambda_search(task, Run(tmp_path / "run", {}), settings=settings)
    assert_same(result.net, again.net)
    assert run.metrics() == trials


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"size": "l1"}, "size must be one of rms, l2"),
        ({"mask": "weight"}, "mask must be"),
        ({"latency_model": "flops"}, "latency_model"),
        ({"schedule": "linear"}, "schedule"),
        ({"warmup": 0.5, "search": 0.5}, "warmup < search"),
        ({"keep": 0.0}, "keep a probability"),
        ({"latency_weight": -1.0}, "lambda"),
    ],
)
def test_settings_out_of_range_are_refused(settings, rule):
    with pytest.raises(UsageError, match=rule):
        get_search("single-path").resolve(settings)


def test_a_search_over_lambda_takes_no_lambda():
    with pytest.raises(UsageError, match="leave it out"):
        get_search("single-path-lambda").resolve({"latency_weight": 0.1})


def test_a_space_that_is_not_nested_is_refused_before_training(tmp_path, digits):
    space = get_space("fbnet", resolution=16, width=0.25)
    with pytest.raises(UsageError, match="superkernel"):
        single_path(problem(digits, space=space), Run(tmp_path / "run", {}))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


# Single-Path+


def test_the_space_of_single_path_plus_contains_that_of_single_path():
    plus = get_space("single-path-se")
    assert [len(d.candidates) for d in plus.decisions] == [12 if i % 4 == 0 else 13 for i in range(20)]
    assert plus.decode([3 * i for i in PUBLISHED]).blocks == PAPER.decode(PUBLISHED).blocks
    assert plus.decode([3 * i + (i < 4) for i in PUBLISHED]).params > 4_421_616


def test_squeeze_and_excitation_is_searched_priced_and_exported(tmp_path, digits):
    from hwnas.exporter.export import export

    space = get_space("single-path-se", resolution=16, num_classes=10, width=0.25)
    task = problem(digits, epochs=1, budget_share=0.6, space=space)
    result = single_path(task, Run(tmp_path / "run", {}))
    chosen = task.budget.predictor.predict(result.architecture)
    assert chosen.high_ms <= task.budget.budget_ms * (1 + 1e-9)
    code = [11] + [0 if i % 4 else 3 for i in range(1, 20)]  # one block with it, the others without
    child = result.net.inherit(space.decode(code)).eval()
    assert sum(isinstance(m, nn.Hardsigmoid) for m in child.modules()) == 1
    models = export(child, tmp_path / "models")
    assert all(model.max_relative_error < 1e-4 for model in models)
    with_it, without = (task.budget.predictor.predict(space.decode([i, *code[1:]])).ms for i in (11, 9))
    assert with_it > without


def test_latency_presses_on_the_squeeze(digits):
    space = get_space("single-path-se", resolution=16, num_classes=10, width=0.25)
    task = problem(digits, space=space)
    net = SuperKernelNet(space)
    task.budget.predictor.expected_ms(space, net.candidate_gates(net.indicators())).backward()
    for node in net.superkernels():
        assert (node.squeeze_thresholds.grad < 0).all()  # a step against it raises the threshold


def test_indicators_have_no_hidden_state():
    """What the net chooses depends on its weights and thresholds only: a copy chooses the same."""
    torch.manual_seed(0)
    net, copy = SuperKernelNet(SPACE), SuperKernelNet(SPACE)
    for _, thresholds in net.architecture_parameters():
        thresholds.data.uniform_(0.2, 0.4)
    copy.load_state_dict(net.state_dict())
    assert copy.chosen() == net.chosen()
    assert isinstance(net.indicators()[0].kernel, Indicator)
