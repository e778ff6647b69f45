"""GDAS: its sample, its pass, and the order of a step, against the expressions of the authors' code."""

import itertools

import pytest
import torch

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.searches.gdas import GDASSettings, GDASTrainer, HardMixture, hard_gumbel
from hwnas.searches.path_gradients import gumbel
from hwnas.searches.problem import SearchProblem
from hwnas.spaces.nas_bench_201 import nas_bench_201
from hwnas.supernet.choice import choices_in
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem
from tests.test_latency import made_table

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.05, workers=0)


def net_in_eval() -> SampledNet:
    torch.manual_seed(0)
    return SampledNet(SPACE).eval()


def run(net: SampledNet, weights: list[torch.Tensor]) -> torch.Tensor:
    return net.run(IMAGES, dict(zip(net.names, map(HardMixture, weights), strict=True)))


def test_forwards_it_is_one_path_and_backwards_every_logit_moves():
    net, generator = net_in_eval(), torch.Generator().manual_seed(3)
    weights = [hard_gumbel(alpha, 5.0, generator) for alpha in net.alphas]
    choices = [int(w.argmax()) for w in weights]
    ran = []
    for i, choice in enumerate(net.nodes[1:8]):
        for k, block in enumerate(choice):
            block.register_forward_hook(lambda *_, name=(i, k): ran.append(name))
    logits = run(net, weights)
    assert ran == list(enumerate(choices))
    torch.testing.assert_close(logits, net(IMAGES, choices), rtol=1e-4, atol=1e-4)
    logits.square().sum().backward()
    assert all(alpha.grad.abs().min() > 0 for alpha in net.alphas)
    assert all(abs(float(alpha.grad.sum())) < 1e-3 * float(alpha.grad.abs().max()) + 1e-5 for alpha in net.alphas)


def test_the_gradient_is_that_of_the_published_expression():
    """`sum(w_k * O_k(x) if k == argmax else w_k)`, written as in `SearchCell.forward_gdas`."""
    choice = net_in_eval().nodes[2]
    x = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    x = x[:, : choice.one_of.candidates[0].in_channels]
    alpha = torch.tensor([0.1, 0.5, -0.3, 0.2])
    alpha = torch.cat([alpha, alpha])[: len(choice)].requires_grad_(True)

    def weights() -> torch.Tensor:
        return hard_gumbel(alpha, 0.7, torch.Generator().manual_seed(0))

    w = weights()
    largest = int(w.argmax())
    published = sum(w[k] * block(x) if k == largest else w[k] for k, block in enumerate(choice))
    (expected,) = torch.autograd.grad(published.square().sum(), alpha)
    (found,) = torch.autograd.grad(HardMixture(weights())(choice, x).square().sum(), alpha)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_samples_follow_the_softmax_at_every_temperature_and_are_one_hot():
    alpha = torch.log(torch.tensor([0.6, 0.3, 0.1]))
    for temperature in (10.0, 0.1):
        generator = torch.Generator().manual_seed(0)
        samples = torch.stack([hard_gumbel(alpha, temperature, generator) for _ in range(2000)])
        assert torch.allclose(samples.sort(1).values, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)
        torch.testing.assert_close(samples.mean(0), torch.tensor([0.6, 0.3, 0.1]), atol=0.04, rtol=0)


def test_backwards_it_is_the_soft_sample():
    alpha = torch.tensor([0.4, -0.2, 0.1], requires_grad=True)
    value = torch.tensor([1.0, -2.0, 0.5])
    hard = hard_gumbel(alpha, 2.0, torch.Generator().manual_seed(0))
    noise = gumbel(alpha, torch.Generator().manual_seed(0))
    soft = torch.softmax((torch.log_softmax(alpha, 0) + noise) / 2.0, 0)
    (found,) = torch.autograd.grad((hard * value).sum(), alpha)
    (expected,) = torch.autograd.grad((soft * value).sum(), alpha)
    torch.testing.assert_close(found, expected)


def test_it_cools_linearly_from_ten_to_a_tenth(digits):
    trainer = GDASTrainer(problem(digits, epochs=6), GDASSettings(pretrain=0.0, search=1.0))
    seen = []
    for step in range(trainer.search_steps):
        trainer.step_count = step
        seen.append(trainer.temperature)
    steps = [b - a for a, b in itertools.pairwise(seen)]
    assert (seen[0], seen[-1]) == (10.0, pytest.approx(0.1))
    assert steps == pytest.approx([steps[0]] * len(steps))
    trainer = GDASTrainer(problem(digits, epochs=6), GDASSettings(pretrain=0.5, search=1.0))
    trainer.step_count = trainer.pretrain_steps
    assert trainer.temperature == 10.0  # where the logits begin to learn
    with pytest.raises(UsageError, match="temperature"):
        GDASSettings(first_temperature=0.1, last_temperature=1.0)


def test_logits_learn_from_validation_images_after_the_weights_have_moved(digits):
    trainer = GDASTrainer(problem(digits), GDASSettings(pretrain=0.0, search=1.0))
    order = []
    trainer.loss = lambda images, labels, weights, loss=trainer.loss: (
        order.append((len(labels), next(trainer.net.parameters()).detach().flatten()[0].item()))
        or loss(images, labels, weights)
    )
    images, labels = next(iter(digits.train_batches(0)))
    trainer.step(images, labels)
    (trained, before), (validated, after) = order
    assert trained == len(labels) and validated == len(next(iter(digits.val_batches()))[1])
    assert before != after
    assert not any(bool(p.grad.any()) for _, p in trainer.net.weights())  # the next step begins with none


def test_it_needs_validation_images():
    data = load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.0, workers=0)
    with pytest.raises(UsageError, match="val_fraction"):
        GDASTrainer(problem(data), GDASSettings())


def test_a_decision_that_is_fixed_early_is_sampled_no_more(digits):
    trainer = GDASTrainer(problem(digits), GDASSettings(pretrain=0.0, search=1.0, fixing_gap=-1.0))
    trainer.step(*next(iter(digits.train_batches(0))))
    assert len(trainer.fixed) == 7
    fixed = [logits.index(max(logits)) for _, logits in sorted(trainer.fixed.items())]
    for step in range(1, 6):
        trainer.step_count = step
        assert trainer.sample()[0] == fixed


@pytest.mark.weekly
def test_it_searches_cells():
    cells = nas_bench_201(resolution=16, width=0.25, cells_per_stage=1)
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    predictor = fit(made_table(cells, networks=12))
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(cells))
    task = SearchProblem(data, Budget((fastest + slowest) / 2, cells, predictor), epochs=2)
    trainer = GDASTrainer(task, GDASSettings(pretrain=0.0, search=1.0))
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    trainer.step(*next(iter(data.train_batches(0))))
    assert not any(torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True))
    trainer.derive()
    assert task.budget.is_within(cells.decode(trainer.derived))


def test_norms_of_candidates_have_no_scale_until_the_network_is_derived(digits):
    trainer = GDASTrainer(problem(digits, epochs=4), GDASSettings())
    scales = [norm.weight for choice in choices_in(trainer.net) for norm in choice.modules()
              if isinstance(norm, torch.nn.BatchNorm2d)]  # fmt: skip
    assert scales and not any(scale.requires_grad for scale in scales)
    trainer.derive()
    assert all(scale.requires_grad for scale in scales)
