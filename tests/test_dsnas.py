"""DSNAS: the invariants of its estimator (13 to 17), its batch norms (21), its data (37), and going on after a stop."""

import dataclasses
import itertools
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
from hwnas.searches.derivers import MostProbable
from hwnas.searches.dsnas import MEAN_LOSS_RATE, DSNASSettings, DSNASTrainer, dsnas
from hwnas.searches.path_gradients import compare_paths, compare_with_mean, estimate_gradients, one_hot, sample_path
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.searches.resource import decision_mflops, flops_term
from hwnas.spaces import get_space
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from hwnas.train.evaluate import recalibrate_batch_norm
from hwnas.train.weights import WeightTraining
from tests.test_latency import made_table

SPACE = get_space("tiny", resolution=16, width=0.25)
LOSS = nn.CrossEntropyLoss()


@pytest.fixture
def net() -> SampledNet:
    torch.manual_seed(0)
    return SampledNet(SPACE)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.randint(0, 10, (8,), generator=generator)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=128, val_fraction=0.05, workers=0)


@cache
def fitted() -> AdditivePredictor:
    return fit(made_table(SPACE, networks=12))


def problem(data, epochs=2, budget_share=0.5, seed=0) -> SearchProblem:
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(SPACE))
    return SearchProblem(data, Budget(fastest + budget_share * (slowest - fastest), SPACE, predictor), epochs, seed)


def fill_zero_gradients(net: nn.Module) -> None:
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)


def path(net: SampledNet, seed: int = 3) -> tuple[list[int], list[torch.Tensor]]:
    return sample_path(net.alphas, torch.Generator().manual_seed(seed))


def test_13_only_the_sampled_candidates_run_and_get_gradients(net, batch):
    choices, z = path(net)
    ran = []
    for i, node in enumerate(net.nodes):
        for k, block in enumerate(node if isinstance(node, nn.ModuleList) else []):
            block.register_forward_hook(lambda *_, name=(i, k): ran.append(name))
    fill_zero_gradients(net)
    estimate_gradients(net, *batch, LOSS, choices, z)
    assert ran == [(i + 1, choice) for i, choice in enumerate(choices)]
    sampled = {f"nodes.{i + 1}.{choice}." for i, choice in enumerate(choices)}
    for name, parameter in net.weights():
        if name.count(".") > 1 and any(name.startswith(f"nodes.{i}.") for i in range(1, 8)):
            touched = any(name.startswith(prefix) for prefix in sampled)
            assert bool(parameter.grad.any()) == touched, name


def test_14_the_dummy_one_leaves_the_output_of_the_child_bit_for_bit(net, batch):
    choices, z = path(net)
    net.eval()
    child = net.inherit(SPACE.decode(choices)).eval()
    with torch.no_grad():
        assert torch.equal(net(batch[0], choices, z), child(batch[0]))


def test_15_the_logits_gradient_is_reward_times_score(net, batch):
    """alpha.grad[i] = r_i (z_i - p_i) with r_i = sum X_i dL/dX_i, X_i the output of the sampled block."""
    choices, z = path(net)
    kept = []

    def keep(_module, _inputs, output):
        if output.requires_grad:
            output.retain_grad()
        kept.append(output)

    for i, choice in enumerate(choices):
        net.nodes[i + 1][choice].register_forward_hook(keep)
    fill_zero_gradients(net)
    estimate_gradients(net, *batch, LOSS, choices, z)
    rewards = [(output * output.grad).sum().detach() for output in kept]
    for alpha, reward, chosen, probability in zip(net.alphas, rewards, choices, net.probabilities(), strict=True):
        one_hot = torch.eye(len(alpha))[chosen]
        torch.testing.assert_close(alpha.grad, reward * (one_hot - probability.detach()), rtol=1e-3, atol=1e-6)
        assert abs(float(alpha.grad.sum())) < 1e-5
    assert any(rewards)  # a norm after a block makes its own nearly 0, exactly 0 on some processors


def test_16_the_estimator_is_unbiased_where_a_reward_depends_on_its_own_layer_only():
    """The mean over the candidates, with their exact probabilities, is the gradient of sum_k p_k c_k."""
    alpha = torch.tensor([0.3, -0.2, 0.9, 0.1], dtype=torch.float64, requires_grad=True)
    costs = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    p = torch.softmax(alpha, 0)
    exact = torch.autograd.grad((p * costs).sum(), alpha)[0]

    class OneLayer(nn.Module):
        """A net whose loss is the cost of the chosen candidate: the reward z_k c_k."""

        def __init__(self):
            super().__init__()
            self.alphas = nn.ParameterList([nn.Parameter(alpha.detach().clone())])

        def forward(self, _images, choices, gates):
            return gates[0][choices[0]] * costs[choices[0]]

    estimate = torch.zeros(4, dtype=torch.float64)
    for k in range(4):
        net = OneLayer()
        fill_zero_gradients(net)
        z = torch.eye(4, dtype=torch.float64)[k]
        estimate_gradients(net, None, None, lambda out, _labels: out, [k], [z])
        estimate += p.detach()[k] * net.alphas[0].grad
    torch.testing.assert_close(estimate, exact)


def test_17_asking_for_the_gradient_of_z_too_early_changes_the_reward(net, batch):
    """SNAS-Series#7: with z requiring a gradient before log p, the reward gains a spurious term."""
    choices, z = path(net)
    fill_zero_gradients(net)
    estimate_gradients(net, *batch, LOSS, choices, z)
    right = [alpha.grad.clone() for alpha in net.alphas]
    early = [zi.detach().clone().requires_grad_(True) for zi in z]
    fill_zero_gradients(net)
    estimate_gradients(net, *batch, LOSS, choices, early)
    assert any(not torch.allclose(a, alpha.grad) for a, alpha in zip(right, net.alphas, strict=True))


def test_two_paths_are_unbiased_for_the_expected_loss_where_decisions_depend_on_each_other():
    """The mean over all pairs of paths is the gradient of sum_ij p_i q_j C_ij."""
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in ([0.3, -0.2, 0.9], [0.5, 0.1])]
    losses = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.7]], dtype=torch.float64)
    p, q = (torch.softmax(a, 0) for a in alphas)
    exact = torch.autograd.grad(p @ losses @ q, alphas)

    class TwoLayers(nn.Module):
        """A net whose loss is that of its path, whatever it sees."""

        def __init__(self):
            super().__init__()
            self.alphas = nn.ParameterList([nn.Parameter(a.detach().clone()) for a in alphas])

        def forward(self, _images, choices):
            return losses[choices[0], choices[1]]

    estimate = [torch.zeros_like(e) for e in exact]
    paths = list(itertools.product(range(3), range(2)))
    for first, second in itertools.product(paths, paths):
        net = TwoLayers()
        fill_zero_gradients(net)
        other = (second, one_hot(net.alphas, second))
        z = one_hot(net.alphas, first)
        compare_paths(net, None, None, lambda out, _labels: out, losses[first], z, other)
        weight = (p[first[0]] * q[first[1]] * p[second[0]] * q[second[1]]).detach()
        for total, alpha in zip(estimate, net.alphas, strict=True):
            total += weight * alpha.grad
    torch.testing.assert_close(estimate, list(exact))


def test_one_path_and_a_mean_are_half_of_that():
    """The mean over all paths is half the gradient of the expected loss, whatever the baseline."""
    logits = ([0.3, -0.2, 0.9], [0.5, 0.1])
    alphas = nn.ParameterList([nn.Parameter(torch.tensor(a, dtype=torch.float64)) for a in logits])
    losses = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.7]], dtype=torch.float64)
    p, q = (torch.softmax(a, 0) for a in alphas)
    exact = torch.autograd.grad(p @ losses @ q, list(alphas))
    for mean_loss in (0.0, 5.0):
        estimate = [torch.zeros_like(e) for e in exact]
        for path in itertools.product(range(3), range(2)):
            for alpha in alphas:
                alpha.grad = torch.zeros_like(alpha)
            compare_with_mean(alphas, losses[path], torch.tensor(mean_loss), one_hot(alphas, path))
            for total, alpha in zip(estimate, alphas, strict=True):
                total += (p[path[0]] * q[path[1]]).detach() * alpha.grad
        torch.testing.assert_close(estimate, [e / 2 for e in exact])


def test_the_published_reward_is_nearly_zero_where_a_normalised_convolution_follows(net, batch):
    """Batch norm undoes a gate before its convolution, unless a residual passes the block: docs/methods.md."""
    choices = [3] * 7
    gates = [z.requires_grad_(True) for z in one_hot(net.alphas, choices)]
    LOSS(net(batch[0], choices, gates), batch[1]).backward()
    rewards = [abs(float(gate.grad[3])) for gate in gates]
    last_of_stages = (1, 4, 6)
    assert max(rewards[i] for i in last_of_stages) < 0.02 * min(rewards[i] for i in (0, 2, 3, 5))


def test_paths_are_sampled_with_the_probabilities_of_the_logits(net):
    with torch.no_grad():
        net.alphas[0].copy_(torch.log(torch.tensor([0.7, 0.1, 0.1, 0.1])))
    generator = torch.Generator().manual_seed(0)
    counts = np.bincount([sample_path(net.alphas, generator)[0][0] for _ in range(2000)], minlength=4)
    assert abs(counts[0] / 2000 - 0.7) < 0.04


def test_latency_is_pressed_only_where_the_budget_is_exceeded(digits):
    batch = next(iter(digits.train_batches(0)))
    for budget_share, pressed in ((0.01, True), (0.99, False)):  # a uniform net's expected latency lies between
        task = problem(digits, budget_share=budget_share)
        trainer = DSNASTrainer(task, DSNASSettings(pretrain=0.0, first_logits="uniform"))
        penalty, expected_ms = trainer.multiplier.penalty(trainer.budget, trainer.net.probabilities())
        assert (expected_ms > task.budget.target_ms) == pressed
        assert bool(penalty.detach() > 0) == pressed
        trainer.step(*batch)
        assert (trainer.multiplier.value > 0) == pressed


def test_logits_rest_while_weights_are_pretrained(digits):
    trainer = DSNASTrainer(problem(digits, epochs=4), DSNASSettings(pretrain=0.25, search=1.0))
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    for epoch in (0, 1):
        for batch in digits.train_batches(epoch):
            trainer.step(*batch)
            moved = any(not torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True))
            assert moved == (epoch == 1)


@pytest.mark.parametrize(("reward", "passes"), [("loss", [1, 1, 1, 1, 2, 1, 1, 2]), ("gradient", [1] * 8)])
def test_a_second_path_runs_at_every_third_step_of_the_search(digits, reward, passes):
    """What a step costs: the first epoch, here of 4 steps, pretrains."""
    trainer = DSNASTrainer(problem(digits, epochs=4), DSNASSettings(pretrain=0.25, search=1.0, reward=reward))
    ran = []
    trainer.net.register_forward_hook(lambda *_: ran.append(trainer.step_count))
    moved = []
    for batch in [*digits.train_batches(0), *digits.train_batches(1)]:
        before = [alpha.detach().clone() for alpha in trainer.net.alphas]
        trainer.step(*batch)
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True)))
    assert [ran.count(step) for step in range(8)] == passes
    assert moved == [False] * 4 + [True] * 4


def test_the_mean_loss_that_stands_for_a_second_path_follows_the_loss(digits):
    trainer = DSNASTrainer(problem(digits, epochs=4), DSNASSettings(pretrain=0.5, search=1.0))
    losses = [trainer.step(*batch)["loss"] for batch in digits.train_batches(0)]
    expected = losses[0]
    for loss in losses[1:]:
        expected += MEAN_LOSS_RATE * (loss - expected)
    assert float(trainer.mean_loss) == pytest.approx(expected)


def test_unsampled_candidates_keep_zero_gradients_not_none(digits):
    """DSNAS needs them: ranks sample different candidates and their gradients are added up."""
    trainer = DSNASTrainer(problem(digits), DSNASSettings())
    trainer.step(*next(iter(digits.train_batches(0))))
    assert all(parameter.grad is not None for parameter in trainer.net.parameters())


def test_unsampled_candidates_still_move_by_momentum_as_published(digits):
    """A side effect of the zeros, in the authors' code too (SNAS-Series, DSNAS/train_imagenet.py)."""
    trainer = DSNASTrainer(problem(digits), DSNASSettings(lr_warmup=0.0))
    batch = next(iter(digits.train_batches(0)))
    trainer.sample = lambda again=False: ([0] * 7, one_hot(trainer.net.alphas, [0] * 7))
    trainer.step(*batch)
    trainer.sample = lambda again=False: ([1] * 7, one_hot(trainer.net.alphas, [1] * 7))
    before = {name: p.detach().clone() for name, p in trainer.net.nodes[1].named_parameters()}
    trainer.step(*batch)
    moved = {name[0] for name, p in trainer.net.nodes[1].named_parameters() if (p - before[name]).abs().max() > 1e-4}
    assert moved == {"0", "1"}  # sampled before, and now; the others have no momentum, only weight decay


def test_an_unknown_way_to_decode_is_refused():
    with pytest.raises(UsageError, match="decode must be one of mean, mode"):
        DSNASSettings(decode="median")


def test_an_unknown_reward_is_refused():
    with pytest.raises(UsageError, match="reward must be one of gradient, loss"):
        DSNASSettings(reward="accuracy")


def test_a_second_path_that_would_never_run_is_refused():
    with pytest.raises(UsageError, match="compare_every must be 1 or more, not 0"):
        DSNASSettings(compare_every=0)


@pytest.mark.parametrize("reward", ["gradient", "loss"])
def test_the_logits_follow_either_reward_and_the_weights_neither(digits, reward):
    """The second path of ``loss`` leaves no gradient: weights move as they do in pre-training."""
    batch = next(iter(digits.train_batches(0)))
    moved = {}
    for name, settings in (
        ("with", DSNASSettings(pretrain=0.0, reward=reward)),
        ("without", DSNASSettings(pretrain=0.5, search=1.0)),
    ):
        trainer = DSNASTrainer(problem(digits, budget_share=0.99), settings)
        before = [alpha.detach().clone() for alpha in trainer.net.alphas]
        trainer.step(*batch)
        moved[name] = {key: p.detach() for key, p in trainer.net.weights()}
        assert any(not torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True)) == (name == "with")
    for key, value in moved["with"].items():
        torch.testing.assert_close(value, moved["without"][key], rtol=1e-4, atol=1e-6)


def test_the_published_settings_run(tmp_path, digits):
    settings = DSNASSettings.published()
    task = problem(digits, epochs=3)
    found = dsnas(task, Run(tmp_path / "run", {}), settings=settings)
    assert task.budget.predictor.predict(found.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)
    trainer = DSNASTrainer(task, settings)
    assert settings.reward == "gradient"
    assert (trainer.pretrain_steps, trainer.search_steps) == (0, digits.steps_per_epoch)
    assert trainer.alpha_optimizer.param_groups[0]["lr"] == 1e-3
    assert trainer.alpha_optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    weights = WeightTraining(trainer.net.weights(), settings, total_steps=2400, batch_size=1024)
    for _ in range(50):
        weights.step()
    assert weights.schedule.get_last_lr() == [pytest.approx(0.5)] * 2  # the peak, after 5 of 240 epochs


@pytest.mark.weekly  # test_search_resume.py kills it at random steps
@pytest.mark.usefixtures("few_evaluations")
def test_stopped_at_any_step_and_continued_equals_uninterrupted_bit_for_bit(tmp_path):
    digits = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    whole = dsnas(problem(digits), Run(tmp_path / "whole", {}))
    steps = 2 * digits.steps_per_epoch

    class Stop(Exception):
        pass

    for stop_at in (1, digits.steps_per_epoch, steps - 1):
        run = Run(tmp_path / f"stopped-{stop_at}", {})

        def stop(done, _total, _figures, at=stop_at):
            if done == at + 1:
                raise Stop  # one step after the last checkpoint: that step must be repeated, not counted twice

        settings = DSNASSettings(checkpoint_seconds=0.0)
        with pytest.raises(Stop):
            dsnas(problem(digits), run, stop, settings)
        torch.manual_seed(99)  # another process has another global state
        again = dsnas(problem(digits), Run(run.folder, {}), settings=settings)
        for (name, a), b in zip(whole.net.state_dict().items(), again.net.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        assert run.metrics() == Run(tmp_path / "whole", {}).metrics()
        assert [record["step"] for record in run.metrics()] == list(range(1, steps + 1))


@pytest.mark.weekly
def test_a_search_ends_within_the_budget_and_hands_over_a_working_child(tmp_path):
    digits = load_data("digits", resolution=16, batch_size=64, limit_train=256, workers=0)
    task = problem(digits, epochs=30, budget_share=0.3)
    result = dsnas(task, Run(tmp_path / "run", {}))
    assert task.budget.predictor.predict(result.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)
    child = result.derive()
    assert result.val_accuracy(child) > 0.3  # ten classes, and a supernet an eighth of the usual size: guessing is 0.1
    assert not child.training


def test_after_the_hand_over_only_the_taken_architecture_is_trained(digits):
    trainer = DSNASTrainer(problem(digits, epochs=2), DSNASSettings(search=0.5, pretrain=0.0))
    for batch in digits.train_batches(0):
        trainer.step(*batch)
    assert trainer.derived is None
    logits = [alpha.detach().clone() for alpha in trainer.net.alphas]
    ran = set()
    for i, node in enumerate(trainer.net.nodes):
        for k, block in enumerate(node if isinstance(node, nn.ModuleList) else []):
            block.register_forward_hook(lambda *_, name=(i, k): ran.add(name))
    for batch in digits.train_batches(1):
        trainer.step(*batch)
    assert ran == {(i + 1, choice) for i, choice in enumerate(trainer.derived)}
    assert all(torch.equal(a, b) for a, b in zip(logits, trainer.net.alphas, strict=True))


def test_an_architecture_that_measures_over_the_budget_is_replaced_by_a_faster_one(digits):
    """The device is 8 % slower than predicted, so what is chosen must be predicted 8 % under the limit."""
    task = problem(digits, budget_share=0.6)
    tried = []

    def measured_ms(architecture):
        tried.append(architecture)
        return 1.08 * task.budget.predictor.predict(architecture).ms

    task = dataclasses.replace(task, measured_ms=measured_ms)
    torch.manual_seed(0)
    net = SampledNet(SPACE)
    with torch.no_grad():  # a net that likes slow blocks uses all of the budget
        for alpha, cost in zip(net.alphas, task.budget.predictor.decision_costs(SPACE)[1], strict=True):
            alpha.copy_(torch.as_tensor(cost / cost.max() * 3))
    chosen = MostProbable(net)(task)
    assert len(tried) == 2
    assert measured_ms(tried[0]) > task.budget.budget_ms
    assert measured_ms(chosen) <= task.budget.budget_ms


def test_what_stays_open_does_not_leave_the_budget_unused(digits):
    """Each decision as good as undecided, a little for the fastest: its mode is the fastest network of all."""
    task = problem(digits, budget_share=0.9)
    net, costs = SampledNet(SPACE), task.budget.predictor.decision_costs(SPACE)[1]
    with torch.no_grad():
        for alpha, cost in zip(net.alphas, costs, strict=True):
            alpha.copy_(torch.as_tensor(-0.1 * cost / cost.max()))
        mean_ms = float(task.budget.predictor.expected_ms(SPACE, net.probabilities()))
    mode, mean = (task.budget.predictor.predict(MostProbable(net, decode)(task)).ms for decode in ("mode", "mean"))
    assert mode == pytest.approx(task.budget.predictor.predict(task.budget.predictor.extremes(SPACE)[0]).ms)
    assert mean_ms <= mean <= task.budget.target_ms


def test_37_a_search_never_reads_the_test_split(tmp_path):
    data = load_data("digits", resolution=16, batch_size=64, limit_train=128, workers=0)
    result = dsnas(problem(data, epochs=1), Run(tmp_path / "run", {}))
    result.val_accuracy(result.derive())
    assert data.splits_read <= {"train", "val"}


def test_21_recalibration_changes_statistics_and_no_parameter(net, digits):
    child = net.inherit(SPACE.decode([3] * 7))
    before = {name: p.detach().clone() for name, p in child.named_parameters()}
    statistics = [m.running_mean.clone() for m in child.modules() if isinstance(m, nn.BatchNorm2d)]
    batches = list(itertools.islice(digits.train_batches(0), 3))
    recalibrate_batch_norm(child, batches)
    assert all(torch.equal(before[name], p) for name, p in child.named_parameters())
    norms = [m for m in child.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(not torch.equal(a, m.running_mean) for a, m in zip(statistics, norms, strict=True))
    assert all(m.momentum == 0.1 and not m.training for m in norms)
    # the first batch norm sees the stem's output: its mean must be the plain average over the batches
    expected = torch.stack([child.blocks[0].layers[0](x).mean((0, 2, 3)) for x, _ in batches]).mean(0)
    torch.testing.assert_close(norms[0].running_mean, expected.detach(), rtol=1e-4, atol=1e-5)


def test_the_supernet_is_seeded_and_leaves_the_global_random_state_alone(digits):
    torch.manual_seed(5)
    one = DSNASTrainer(problem(digits), DSNASSettings()).net.state_dict()
    state = torch.get_rng_state()
    two = DSNASTrainer(problem(digits), DSNASSettings()).net.state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))


def test_an_infeasible_budget_is_refused_before_training(tmp_path, digits):
    with pytest.raises(HwnasError, match="cannot be met"):
        dsnas(problem(digits, budget_share=-0.5), Run(tmp_path / "run", {}))
    assert Run(tmp_path / "run", {}).metrics() == []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, digits) -> bytes:
    """Of a search that is finished."""
    run = Run(tmp_path_factory.mktemp("finished") / "run", {})
    dsnas(problem(digits, epochs=1), run)
    return (run.folder / "checkpoint.pt").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, digits, checkpoint, damage):
    run = Run(tmp_path / "run", {})
    path = run.folder / "checkpoint.pt"
    path.write_bytes(checkpoint[:-2000] if damage is None else damage)
    with pytest.raises(HwnasError, match="Delete it to start"):
        dsnas(problem(digits, epochs=1), run)


def test_a_checkpoint_of_another_space_is_refused(tmp_path, digits):
    run = Run(tmp_path / "run", {})
    torch.save({"step": 1, "net": {}}, run.folder / "checkpoint.pt")
    with pytest.raises(HwnasError, match="not one of this search"):
        dsnas(problem(digits), run)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, digits):
    class Payload:
        def __reduce__(self):
            return (print, ("code ran",))

    run = Run(tmp_path / "run", {})
    torch.save({"step": Payload()}, run.folder / "checkpoint.pt")
    with pytest.raises(HwnasError, match="damaged"):
        dsnas(problem(digits), run)


def test_unknown_methods_are_listed():
    with pytest.raises(HwnasError, match="dsnas"):
        get_search("enas")


def test_19_a_fixed_decision_keeps_its_choice_and_its_logits(digits):
    settings = DSNASSettings(pretrain=0.0, search=1.0, fixing_gap=0.3, first_logits="uniform")
    trainer = DSNASTrainer(problem(digits, epochs=4), settings)
    with torch.no_grad():
        trainer.net.alphas[2].copy_(torch.tensor([0.0, 3.0, 0.0, 0.0]))  # a gap of 0.87
    kept = trainer.net.alphas[2].tolist()
    fixed = []
    for epoch in range(3):
        for batch in digits.train_batches(epoch):
            at_start = trainer.step_count % digits.steps_per_epoch == 0
            choices = trainer.sample()[0] if not at_start else None
            trainer.step(*batch)
            assert choices is None or choices[2] == 1
        fixed.append(set(trainer.fixed))
        trainer.fix_decisions()
        assert trainer.net.alphas[2].tolist() == kept
    assert 2 in fixed[0]
    assert fixed[0] <= fixed[1] <= fixed[2]
    assert len(fixed[0]) < len(trainer.net.alphas)  # nearly uniform logits are not clear yet


def test_20_the_published_flops_term_is_zero_below_its_limit(net):
    """coef * sum p_i(z_i) F_i(z_i) over the sampled candidates: SNAS-Series, DSNAS/network.py."""
    mflops = decision_mflops(SPACE)
    choices = [1] * 7
    total = sum(float(f[1]) for f in mflops)
    for limit, factor in ((total * 1.01, 0), (total * 0.99, 1)):
        term = flops_term("flops-sampled", net.probabilities(), choices, mflops, 0.5, limit)
        pairs = zip(net.probabilities(), mflops, strict=True)
        expected = 0.5 * sum(float(p.detach()[1]) * float(f[1]) for p, f in pairs)
        assert float(term.detach()) == pytest.approx(factor * expected, rel=1e-5)


def test_the_expected_flops_term_follows_the_gradient_of_the_expectation(net):
    mflops = decision_mflops(SPACE)
    flops_term("flops-expected", net.probabilities(), [0] * 7, mflops, 1.0, 0.0).backward()
    for alpha, f in zip(net.alphas, mflops, strict=True):
        p = torch.softmax(alpha.detach(), 0)
        torch.testing.assert_close(alpha.grad, p * (f - p @ f), rtol=1e-3, atol=1e-5)
    one_hot = [torch.eye(len(a))[0] for a in net.alphas]
    macs = SPACE.decode([0] * 7).macs - sum(
        spec.macs(shape) for spec, shape in SPACE.positions() if not hasattr(spec, "candidates")
    )
    assert float(flops_term("flops-expected", one_hot, [0] * 7, mflops, 0.5, 0.0)) == pytest.approx(0.5 * macs / 1e6)


@pytest.mark.parametrize("resource", ["flops-sampled", "flops-expected"])
def test_with_a_flops_term_the_architecture_is_still_within_the_budget(tmp_path, digits, resource):
    task = problem(digits, budget_share=0.3)
    settings = DSNASSettings(resource=resource, flops_limit=0.0, flops_coefficient=0.1)
    found = dsnas(task, Run(tmp_path / "run", {}), settings=settings)
    assert task.budget.predictor.predict(found.architecture).high_ms <= task.budget.budget_ms * (1 + 1e-9)


def test_a_gap_of_logits_that_lean_to_the_budget_fixes_nothing_before_they_learn():
    with pytest.raises(UsageError, match='first_logits must be "uniform"'):
        DSNASSettings(fixing_gap=0.3)


def test_a_learning_rate_of_zero_keeps_the_logits(digits):
    trainer = DSNASTrainer(problem(digits), DSNASSettings(pretrain=0.0, alpha_lr=0.0))
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    trainer.step(*next(iter(digits.train_batches(0))))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True))
