"""The baselines: what their estimators compute, and that each keeps the budget and goes on after a stop."""

import json
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.counted import macs_model, parameters_model
from hwnas.latency.limit import Limit
from hwnas.run import Run
from hwnas.searches.derivers import MostProbable
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.searches.one_shot import OneShotSettings, UniformTrainer, spos
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proposers import RandomWithin
from hwnas.searches.proxyless import ProxylessSettings, ProxylessTrainer
from hwnas.searches.registry import SEARCHES, get_search
from hwnas.searches.resource import decision_mflops
from hwnas.searches.result import SearchResult
from hwnas.searches.snas import SNASSettings, SNASTrainer, concrete
from hwnas.supernet.mixed import gated, mixed
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.child import ChildTrainer, train_child, trained_accuracy
from hwnas.train.data import load_data
from hwnas.train.evaluate import accuracy, recalibrate_batch_norm
from tests.test_darts import CELLS, fitted
from tests.test_dsnas import SPACE, problem
from tests.test_superkernel import set_choice
from tests.weekly import weekly_except

QUICK = {
    "spos": {"evaluations": 6, "population": 3},
    "random": {"evaluations": 4},
    "least-squares": {"evaluations": 6},
    "weaknas": {"evaluations": 12},
    "single-path-lambda": {"trials": 2},
}


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.05, workers=0)


@pytest.fixture(scope="module")
def many_digits():
    """Enough to learn something from."""
    return load_data("digits", resolution=16, batch_size=64, limit_train=1024, workers=0)


@pytest.fixture(scope="module", autouse=True)
def few_codes():
    """WeakNAS looks at 50 random codes before it proposes, where it draws and prices 500."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.searches.guided.bayesian.RANDOM_CODES", 50)
        yield


@pytest.fixture
def net() -> SampledNet:
    torch.manual_seed(0)
    return SampledNet(SPACE).eval()


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_mixture_with_one_hot_weights_is_the_child(net):
    choices = [0, 1, 2, 3, 3, 1, 0]
    weights = one_hot(net.alphas, choices)
    with torch.no_grad():
        torch.testing.assert_close(mixed(net, IMAGES, weights), net(IMAGES, choices), rtol=1e-5, atol=1e-6)


def test_a_mixture_is_linear_in_the_weights_of_its_last_decision(net):
    """The head is not linear, so look at what it is given."""
    net.nodes[-1] = nn.Identity()
    choices = [0, 1, 2, 3, 3, 1, 0]
    weights = one_hot(net.alphas, choices)
    with torch.no_grad():
        parts = [net(IMAGES, [*choices[:-1], k]) for k in range(len(weights[-1]))]
        weights[-1] = torch.linspace(0.1, 0.5, len(parts))
        expected = sum(w * part for w, part in zip(weights[-1], parts, strict=True))
        torch.testing.assert_close(mixed(net, IMAGES, weights), expected, rtol=1e-4, atol=1e-5)


def test_gates_get_the_gradient_of_a_sum_over_all_candidates(net):
    """dL/dg_k of ``sum_k g_k out_k`` at one-hot gates, which full_v2 computes without graphs of the others."""
    choices = [1, 0, 2, 3, 0, 1, 2]
    gates = [torch.zeros(len(alpha), requires_grad=True) for alpha in net.alphas]
    gated(net, IMAGES, choices, gates).square().sum().backward()
    weights = [z.requires_grad_(True) for z in one_hot(net.alphas, choices)]
    mixed(net, IMAGES, weights).square().sum().backward()
    for ours, exact in zip(gates, weights, strict=True):
        torch.testing.assert_close(ours.grad, exact.grad, rtol=1e-3, atol=1e-4)


def test_gated_output_and_weight_gradients_are_those_of_the_path(net):
    choices = [1, 0, 2, 3, 0, 1, 2]
    gates = [torch.zeros(len(alpha)) for alpha in net.alphas]
    assert torch.equal(gated(net, IMAGES, choices, gates), net(IMAGES, choices))


def test_proxyless_logit_gradients_sum_to_zero_and_touch_no_weight(digits):
    trainer = ProxylessTrainer(problem(digits), ProxylessSettings(pretrain=0.0, search=1.0))
    trainer.estimate_logits(*trainer.validation_batch(), [0] * 7)
    for alpha in trainer.net.alphas:
        assert abs(float(alpha.grad.sum())) < 1e-6
        assert bool(alpha.grad.any())
    assert not any(bool(p.grad.any()) for _, p in trainer.net.weights())


def test_proxyless_moves_the_logits_at_each_fifth_step_only(digits):
    trainer = ProxylessTrainer(problem(digits, epochs=4), ProxylessSettings(pretrain=0.0, search=1.0))
    moved = []
    for epoch in range(4):
        for batch in digits.train_batches(epoch):
            before = [alpha.detach().clone() for alpha in trainer.net.alphas]
            trainer.step(*batch)
            moved.append(any(not torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True)))
    assert moved == [step % 5 == 0 for step in range(len(moved))]


def test_proxyless_fixes_what_is_clear_at_the_start_of_any_epoch(digits):
    """Also where that is not one of its fifth steps."""
    trainer = ProxylessTrainer(problem(digits, epochs=4), ProxylessSettings(pretrain=0.0, search=1.0, fixing_gap=0.3))
    for batch in digits.train_batches(0):
        trainer.step(*batch)
    assert trainer.step_count % 5 != 0
    with torch.no_grad():
        trainer.net.alphas[2].copy_(torch.tensor([0.0, 3.0, 0.0, 0.0]))  # a gap of 0.87
    trainer.step(*next(iter(digits.train_batches(1))))
    assert set(trainer.fixed) == {2}


def test_proxyless_logits_travel_as_far_as_those_that_move_at_each_step(digits):
    """The rate is by the number of their updates, a fifth of the steps."""
    task = problem(digits, epochs=300)
    seldom, always = (
        ProxylessTrainer(task, ProxylessSettings()),
        ProxylessTrainer(task, ProxylessSettings(alpha_every=1)),
    )
    rates = [trainer.alpha_optimizer.param_groups[0]["lr"] for trainer in (seldom, always)]
    assert rates[0] == pytest.approx(min(0.05, 10 / seldom.alpha_steps)) and rates[1] < rates[0]
    moved = sum((step - seldom.pretrain_steps) % 5 == 0 for step in range(seldom.pretrain_steps, seldom.search_steps))
    assert seldom.alpha_steps == moved


def test_without_validation_images_no_derivation_throws_the_training_away():
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, val_fraction=0.0, workers=0)
    for derive in ("perturbed", "reranked", "regression"):
        trainer = SNASTrainer(problem(data, epochs=1), SNASSettings(derive=derive))
        assert isinstance(trainer.deriver(), MostProbable)


def test_proxyless_needs_validation_images():
    data = load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.0, workers=0)
    with pytest.raises(UsageError, match="val_fraction"):
        ProxylessTrainer(problem(data), ProxylessSettings())


def test_the_concrete_distribution_samples_like_softmax_and_sharpens_as_it_cools():
    alpha = torch.log(torch.tensor([0.6, 0.3, 0.1]))
    generator = torch.Generator().manual_seed(0)
    samples = torch.stack([concrete(alpha, 0.03, generator) for _ in range(4000)])
    shares = torch.bincount(samples.argmax(1), minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.3, 0.1]), atol=0.03, rtol=0)
    warm = torch.stack([concrete(alpha, 1.0, generator) for _ in range(500)])
    assert float(samples.max(1).values.mean()) > float(warm.max(1).values.mean()) + 0.1


def test_snas_cools_from_one_to_its_last_temperature(digits):
    trainer = SNASTrainer(problem(digits), SNASSettings())
    assert trainer.temperature == 1.0
    trainer.step_count = trainer.pretrain_steps
    assert trainer.pretrain_steps > 0 and trainer.temperature == 1.0  # it cools while the logits learn
    trainer.step_count = trainer.search_steps
    assert trainer.temperature == pytest.approx(0.03)


def test_uniform_training_samples_every_candidate_equally(digits):
    trainer = UniformTrainer(problem(digits), OneShotSettings())
    ran = []
    for k, block in enumerate(trainer.net.nodes[1]):
        block.register_forward_hook(lambda *_, k=k: ran.append(k))
    batch = [part[:2] for part in next(iter(digits.train_batches(0)))]
    for _ in range(80):
        trainer.step(*batch)
    counts = [ran.count(k) for k in range(4)]
    assert sum(counts) == 80
    assert min(counts) >= 9  # 20 expected each


def test_random_architectures_lie_within_the_budget(digits):
    task = problem(digits, budget_share=0.3)
    rng = random.Random(0)
    draw = RandomWithin(task.budget)
    found = {draw(rng).code for _ in range(30)}
    predictor, space = task.budget.predictor, task.budget.space
    assert all(predictor.predict(space.decode(code)).ms <= task.budget.target_ms for code in found)
    assert len(found) > 20


@pytest.mark.usefixtures("few_evaluations")
@pytest.mark.parametrize("name", SEARCHES)
def test_37_every_search_keeps_the_budget_gives_a_child_and_never_reads_the_test_split(tmp_path, name):
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    task = problem(data, budget_share=0.4)
    method = get_search(name)
    result = method.search(task, Run(tmp_path / "run", {}), None, method.resolve(QUICK.get(name, {})))
    assert task.budget.predictor.predict(result.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)
    assert 0 <= result.val_accuracy(result.derive()) <= 1
    assert data.splits_read <= {"train", "val"}


WAYS = ("dsnas", "single-path", "single-path-lambda", "once-for-all", "weaknas")
"""Searches that keep limits in ways of their own; the others do it as one of these."""


@pytest.mark.usefixtures("few_evaluations")
@pytest.mark.parametrize("name", weekly_except(WAYS, SEARCHES))
def test_every_search_keeps_several_limits_and_measures_what_can_be_measured(tmp_path, name):
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    parameters, macs = parameters_model(SPACE), macs_model(SPACE)
    less, more = (parameters.predict(network).ms for network in parameters.extremes(SPACE))
    low, high = (macs.predict(network).ms for network in macs.extremes(SPACE))
    asked = []

    def measured(architecture):  # a second device, which takes a third more than is thought
        asked.append(architecture)
        return 4 / 3 * architecture.macs

    further = (
        Limit("parameters", less + 0.5 * (more - less), parameters, ""),
        Limit("other", low + 0.7 * (high - low), macs, "ms", measured),
    )
    task = problem(data, budget_share=0.6)
    task = replace(task, budget=replace(task.budget, further=further))
    method = get_search(name)
    result = method.search(task, Run(tmp_path / "run", {}), None, method.resolve(QUICK.get(name, {})))
    assert task.budget.is_within(result.architecture)
    assert result.architecture in asked
    assert measured(result.architecture) <= further[1].most


ON_CELLS = ("dsnas", "snas", "least-squares", "weaknas", "single-path", "once-for-all")
"""Searches that are no others on cells, or refuse them; test_supernet_darts.py runs more."""


@pytest.mark.usefixtures("few_evaluations")
@pytest.mark.parametrize("name", weekly_except(ON_CELLS, SEARCHES))
def test_every_search_runs_on_cells_within_the_budget_or_says_which_method_does(tmp_path, name):
    """At a tight budget most sampled cells have edges that lead nowhere, and some no path at all."""
    data = load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(CELLS))
    task = SearchProblem(data, Budget(fastest + 0.2 * (slowest - fastest), CELLS, predictor), epochs=2)
    method = get_search(name)
    settings = method.resolve(QUICK.get(name, {}))
    if name in ("single-path", "single-path-lambda", "once-for-all"):
        with pytest.raises(UsageError, match=r"another method \(`--method dsnas`\)"):
            method.search(task, Run(tmp_path / "run", {}), None, settings)
        return
    result = method.search(task, Run(tmp_path / "run", {}), None, settings)
    assert task.budget.is_within(result.architecture)
    assert 0 <= result.val_accuracy(result.derive()) <= 1


def test_gates_of_edges_that_did_not_run_have_a_gradient_of_zero():
    data = load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    predictor = fitted()
    budget = Budget(2 * predictor.predict(predictor.extremes(CELLS)[1]).ms, CELLS, predictor)
    trainer = ProxylessTrainer(SearchProblem(data, budget, epochs=2), ProxylessSettings(pretrain=0.0, search=1.0))
    for path, ran in (([3, 3, 0, 3, 0, 3], [1, 3, 5]), ([0] * 6, [])):
        trainer.estimate_logits(*trainer.validation_batch(), path)
        assert [i for i, alpha in enumerate(trainer.net.alphas) if alpha.grad.any()] == ran
        trainer.alpha_optimizer.zero_grad(set_to_none=False)


def test_the_flops_of_a_cells_edges_are_those_of_all_its_places():
    macs = decision_mflops(CELLS)
    assert len(macs) == 6
    for number, found in enumerate(macs):
        code = [3] * 6
        for k in range(5):
            code[number] = k
            rest = sum(float(macs[i][3]) for i in range(6) if i != number)
            architecture = CELLS.decode(code)
            fixed = CELLS.decode([1] * 6).macs / 1e6
            live = all(block.live[i] or i == number for block in architecture.blocks[1:2] for i in range(6))
            if live:  # an edge that nothing leads to, or that leads nowhere, is not built
                assert architecture.macs / 1e6 == pytest.approx(fixed + rest + float(found[k]), rel=1e-5)
        assert found.tolist()[0] == found.tolist()[1] == 0.0 < float(found[2]) < float(found[3])


@pytest.mark.parametrize("seed", range(3))
def test_35_expected_latency_of_a_decided_supernet_is_the_sum_of_the_table(digits, seed):
    """For every method: one supernet holds the logits of DSNAS, SNAS, ProxylessNAS and SPOS, the other thresholds."""
    architecture = SPACE.sample(random.Random(seed))
    predictor = problem(digits).budget.predictor
    summed_ms = predictor.predict(architecture).ms
    net, kernels = SampledNet(SPACE), SuperKernelNet(SPACE)
    with torch.no_grad():
        for alpha, index in zip(net.alphas, SPACE.indices(architecture), strict=True):
            alpha.copy_(200.0 * torch.eye(len(alpha))[index])
    for node, index in zip(kernels.superkernels(), SPACE.indices(architecture), strict=True):
        set_choice(node, node.nesting.one_of.candidates[index])
    assert float(predictor.expected_ms(SPACE, net.probabilities()).detach()) == pytest.approx(summed_ms, rel=1e-5)
    gates = kernels.candidate_gates(kernels.indicators())
    assert float(predictor.expected_ms(SPACE, gates).detach()) == pytest.approx(summed_ms, rel=1e-5)


def test_36_random_search_trains_as_the_methods_that_it_is_compared_with(digits):
    """Sampled supernets and children trained alone: one optimiser, schedule and loss, and one way to retrain."""
    task = problem(digits, epochs=4)
    child = ChildTrainer(SPACE.decode([0] * 7), digits, task.epochs)
    kinds = (DSNASTrainer, SNASTrainer, ProxylessTrainer, UniformTrainer)
    defaults = (DSNASSettings(), SNASSettings(), ProxylessSettings(), OneShotSettings())
    trainers = [kind(task, settings) for kind, settings in zip(kinds, defaults, strict=True)]
    for _ in range(3):
        for trainer in (child, *trainers):
            trainer.weights.step()
    for trainer in trainers:
        assert trainer.total_steps == child.total_steps
        assert trainer.weights.schedule.get_last_lr() == child.weights.schedule.get_last_lr()
        for group, expected in zip(
            trainer.weights.optimizer.param_groups, child.weights.optimizer.param_groups, strict=True
        ):
            assert {k: v for k, v in group.items() if k != "params"} == {
                k: v for k, v in expected.items() if k != "params"
            }
        assert trainer.weights.loss_function.label_smoothing == child.weights.loss_function.label_smoothing
    assert get_search("random").settings is get_search("spos").settings is OneShotSettings


def test_what_is_found_can_be_retrained_from_scratch_and_goes_on(tmp_path, digits):
    task = problem(digits, epochs=2)
    torch.manual_seed(0)
    result = SearchResult(task, SampledNet(SPACE), SPACE.decode([1] * 7))
    alone = result.retrain(tmp_path / "retrained")
    expected = train_child(result.architecture, digits, Run(tmp_path / "alone", {}), task.epochs, task.seed)
    again = result.retrain(tmp_path / "retrained")  # finished already: read from its checkpoint
    for a, b, c in zip(*(net.state_dict().values() for net in (alone, expected, again)), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    slower = result.retrain(tmp_path / "slower", settings=DSNASSettings(lr=0.01))
    assert not torch.equal(next(slower.parameters()), next(alone.parameters()))
    with pytest.raises(HwnasError, match="another configuration"):
        replace(result, architecture=SPACE.decode([0] * 7)).retrain(tmp_path / "retrained")


@pytest.mark.parametrize(
    ("name", "stops"), weekly_except([("spos", (3, 9))], [("spos", (3, 9)), ("snas", (3, 5)), ("proxyless", (3, 5))])
)
def test_stopped_and_continued_equals_uninterrupted(tmp_path, digits, name, stops):
    method = get_search(name)
    settings = method.resolve(QUICK.get(name, {}) | {"checkpoint_seconds": 0.0})
    whole = method.search(problem(digits, epochs=3), Run(tmp_path / "whole", {}), None, settings)

    class Stop(Exception):
        pass

    calls = iter(range(1, 1000))

    def stop(_done, _total, _figures):
        if next(calls) in stops:  # in the training; for spos also while children are judged
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            method.search(problem(digits, epochs=3), Run(tmp_path / "stopped", {}), stop, settings)
    again = method.search(problem(digits, epochs=3), Run(tmp_path / "stopped", {}), None, settings)
    assert again.architecture == whole.architecture
    for a, b in zip(whole.net.state_dict().values(), again.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def evaluated(run: Run) -> list[str]:
    """The lines of the record of a run's evaluations."""
    (record,) = run.folder.glob("evaluations*.jsonl")
    return record.read_text().splitlines()


def test_children_are_evaluated_once_and_remembered(tmp_path, digits):
    settings = OneShotSettings(evaluations=8, population=4)
    run = Run(tmp_path / "run", {})
    first = spos(problem(digits), run, settings=settings)
    lines = evaluated(run)
    digests = [json.loads(line)["digest"] for line in lines]
    assert len(digests) == len(set(digests)) >= 6
    assert spos(problem(digits), run, settings=settings).architecture == first.architecture
    assert evaluated(run) == lines
    (run.folder / "checkpoint.pt").unlink()  # the supernet is trained again, and might be another one
    spos(problem(digits), run, settings=replace(settings, lr=0.01))
    assert len(list(run.folder.glob("evaluations-*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("evaluate", "by"), [("inherited", "loss"), ("inherited", "accuracy"), ("trained", "accuracy")]
)
def test_the_best_child_evaluated_within_the_budget_is_chosen(tmp_path, digits, evaluate, by):
    """By what the settings say; children that are trained by themselves by accuracy, whatever they say."""
    task = problem(digits, budget_share=0.5)
    settings = OneShotSettings(evaluations=6, population=3, evaluate=evaluate)
    settings = replace(settings, compare_by="accuracy") if evaluate == "inherited" and by == "accuracy" else settings
    run = Run(tmp_path / "run", {})
    result = spos(task, run, settings=settings)
    records = [json.loads(line) for line in evaluated(run)]
    scores = {each["digest"]: -each["loss"] if by == "loss" else each["accuracy"] for each in records}
    assert len(scores) > 1
    assert scores[result.architecture.digest] == max(scores.values())


def test_inherited_accuracy_is_that_of_the_recalibrated_child_and_leaves_the_supernet_alone(net, digits):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    architecture = SPACE.decode([0] * 7)
    judged = InheritedEvaluator(net, digits)(architecture).accuracy
    child = net.inherit(architecture)
    recalibrate_batch_norm(child, digits.train_batches(0))
    assert judged == accuracy(child, digits.val_batches())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.weekly
def test_a_child_trained_alone_learns(tmp_path, many_digits):
    reached = trained_accuracy(SPACE.decode([0] * 7), many_digits, Run(tmp_path / "alone", {}), epochs=12)
    assert reached > 0.3  # ten classes


def test_a_child_trained_alone_goes_on_bit_for_bit(tmp_path, digits):
    architecture = SPACE.decode([1] * 7)
    whole = train_child(architecture, digits, Run(tmp_path / "whole", {}), epochs=2)

    class Stop(Exception):
        pass

    def stop(done, _total, _figures):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        train_child(architecture, digits, Run(tmp_path / "stopped", {}), epochs=2, progress=stop)
    again = train_child(architecture, digits, Run(tmp_path / "stopped", {}), epochs=2)
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_snas_mixes_no_more_what_is_fixed_early(digits):
    trainer = SNASTrainer(problem(digits), SNASSettings(pretrain=0.0, search=1.0, fixing_gap=-1.0))
    trainer.fixed = {0: [0.0, 3.0, 0.0, 0.0]}
    first, *others = trainer.mixture()
    assert first.tolist() == [0.0, 1.0, 0.0, 0.0] and not first.requires_grad
    assert all(weights.requires_grad for weights in others)
