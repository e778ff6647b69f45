"""DARTS: its two orders against exact derivatives, the order of a step, and what it derives from a mixture."""

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import hwnas.searches.darts as darts_module
from hwnas.errors import UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.searches.cdarts import CDARTSTrainer
from hwnas.searches.darts import DARTSSettings, DARTSTrainer
from hwnas.searches.darts_pt import DARTSPTTrainer
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import nas_bench_201
from hwnas.specs.cell import Zero
from hwnas.supernet.choice import Mixture, choices_in
from hwnas.supernet.mixed import mixed
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_latency import made_table
from tests.weekly import weekly_except

CELLS = nas_bench_201(resolution=8, width=0.25, cells_per_stage=1)
SEARCHING = DARTSSettings(pretrain=0.0, search=1.0, label_smoothing=0.0)


@cache
def fitted() -> AdditivePredictor:
    return fit(made_table(CELLS, networks=12))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


def problem(data, share: float = 0.5) -> SearchProblem:
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(CELLS))
    return SearchProblem(data, Budget(fastest + share * (slowest - fastest), CELLS, predictor), epochs=2)


def in_double(trainer: DARTSTrainer) -> DARTSTrainer:
    """Without rounding, and without statistics of the batch, so that derivatives can be compared."""
    for parameter in trainer.net.parameters():
        parameter.data = parameter.data.double()
        parameter.grad = torch.zeros_like(parameter)
    trainer.net.double().eval()
    images, labels = trainer._validation[0]
    trainer._validation._batches, trainer._validation._normalised = [(images.double(), labels)], lambda batch: batch
    return trainer


def exact_gradients(trainer: DARTSTrainer, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Those of the validation loss at the weights after the next step, by differentiating through that step."""
    net, group = trainer.net, trainer.weights.optimizer.param_groups[0]
    weights = {name: p for name, p in net.weights() if p.requires_grad}
    decays = {id(p): g["weight_decay"] for g in trainer.weights.optimizer.param_groups for p in g["params"]}

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return mixed(self.net, x, trainer.probabilities())

    loss = trainer.weights.loss_function(Mixed()(images), labels)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    ahead = {}
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        momentum = trainer.weights.optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
        step = gradient + decays[id(weight)] * weight + group["momentum"] * momentum
        ahead[f"net.{name}"] = weight - group["lr"] * step
    validation, answers = trainer._validation[0]
    found = trainer.weights.loss_function(functional_call(Mixed(), ahead, (validation,)), answers)
    return list(torch.autograd.grad(found, list(net.alphas)))


@pytest.mark.parametrize("momentum", [False, True])
def test_the_second_order_is_the_derivative_through_the_next_step_of_the_weights(digits, momentum, monkeypatch):
    """With a smaller finite difference than the published one, which a ReLU may bend within."""
    monkeypatch.setattr(darts_module, "STEP_NORM", 1e-6)
    settings = replace(SEARCHING, order="second", weight_decay=0.1, lr_warmup=0.0, lr=3.0)
    trainer = in_double(DARTSTrainer(problem(digits), settings))
    images, labels = next(iter(digits.train_batches(0)))
    images = images.double()
    if momentum:
        for weight in (p for _, p in trainer.net.weights() if p.requires_grad):
            generator = torch.Generator().manual_seed(1)
            buffer = 0.1 * torch.randn(weight.shape, dtype=torch.double, generator=generator)
            trainer.weights.optimizer.state[weight]["momentum_buffer"] = buffer
    before = [parameter.detach().clone() for parameter in trainer.net.parameters()]
    found = trainer.logit_gradients(images, labels)
    for ours, exact in zip(found, exact_gradients(trainer, images, labels), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-7)
    trainer.settings = replace(settings, order="first")
    first = trainer.logit_gradients(images, labels)
    assert not all(torch.allclose(a, b, rtol=0.05) for a, b in zip(first, found, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.net.parameters(), strict=True))


def test_the_logits_move_on_validation_images_before_the_weights_which_see_the_moved_ones(digits):
    trainer = DARTSTrainer(problem(digits), SEARCHING)
    logits = [alpha.detach().clone() for alpha in trainer.net.alphas]
    seen = []
    trainer.mixed_loss = lambda images, labels, weights, loss=trainer.mixed_loss: (
        seen.append((len(labels), [w.detach().clone() for w in weights], weights[0].requires_grad))
        or loss(images, labels, weights)
    )
    images, labels = next(iter(digits.train_batches(0)))
    trainer.step(images, labels)
    (validated, first, by_logits), (trained, second, by_weights) = seen
    assert (validated, trained) == (len(next(iter(digits.val_batches()))[1]), len(labels))
    assert by_logits and not by_weights
    for logit, old, new in zip(logits, first, second, strict=True):
        torch.testing.assert_close(old, torch.softmax(logit, 0))
        assert not torch.equal(old, new)
    assert not any(bool(alpha.grad.any()) for alpha in trainer.net.alphas)


def test_logits_begin_at_zero_where_their_weight_decay_draws_them_to(digits):
    logits = torch.cat([alpha.detach() for alpha in DARTSTrainer(problem(digits), SEARCHING).net.alphas])
    assert float(logits.abs().max()) < 0.01


def test_while_it_searches_the_batch_norms_of_candidates_have_no_scale_and_shift_of_their_own(digits):
    trainer = DARTSTrainer(problem(digits), replace(SEARCHING, search=0.5))
    norms = [part for c in choices_in(trainer.net) for part in c.modules() if isinstance(part, nn.BatchNorm2d)]
    batch = next(iter(digits.train_batches(0)))
    while trainer.step_count < trainer.search_steps:
        trainer.step(*batch)
    assert norms
    assert all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)
    trainer.step(*batch)
    again = DARTSTrainer(problem(digits), replace(SEARCHING, search=0.5))
    again.load_state_dict(trainer.state_dict())
    moved = [norm for norm in norms if not bool((norm.weight == 1).all())]
    assert moved, "what is derived is trained with them"
    assert all(part.requires_grad for c in choices_in(again.net) for part in c.parameters())


def test_a_mixture_is_the_weighted_sum_of_all_candidates_also_where_some_do_not_run():
    torch.manual_seed(0)
    choice = next(choices_in(SampledNet(CELLS).eval()))
    x, weights = torch.randn(2, choice.one_of.candidates[0].channels, 8, 8), torch.tensor([0.1, 0.2, 0.0, 0.3, 0.4])
    expected = sum(w * choice.run_candidate(x, k) for k, w in enumerate(weights))
    torch.testing.assert_close(Mixture(weights)(choice, x), expected)
    ran = []
    for k, block in enumerate(choice):
        block.register_forward_hook(lambda *_, k=k: ran.append(k))
    Mixture(weights)(choice, x)
    assert ran == [1, 3, 4], "neither `Zero` nor a candidate of weight 0"
    open_weights = weights.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(Mixture(open_weights)(choice, x).sum(), open_weights)
    assert found[2] != 0, "a weight that learns has its gradient at 0, too"
    assert not Mixture(torch.tensor([1.0, 0, 0, 0, 0]))(choice, x).any()


def first_within(codes: list[tuple[int, ...]], limit_ms: float) -> tuple[int, ...]:
    """The first whose interval ends within the limit; no more are priced than it takes to find it."""
    for start in range(0, len(codes), 64):
        some = codes[start : start + 64]
        for code, prediction in zip(some, fitted().predict_many(list(map(CELLS.decode, some))), strict=True):
            if prediction.high_ms <= limit_ms:
                return code
    raise AssertionError("no cell is within")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_it_derives_the_most_probable_cell_within_the_budget_that_leaves_out_fewest_edges(digits, share):
    trainer = DARTSTrainer(problem(digits, share), SEARCHING)
    with torch.no_grad():
        for i, alpha in enumerate(trainer.net.alphas):
            alpha.copy_(torch.randn(5, generator=torch.Generator().manual_seed(i)))
            alpha[0] += 3.0  # no edge at all is the most probable one everywhere
    logs = [torch.log_softmax(alpha, 0).tolist() for alpha in trainer.net.alphas]

    def worth(code) -> tuple[int, float]:
        return -code.count(0), sum(log[k] for log, k in zip(logs, code, strict=True))

    limit_ms = trainer.budget.budget_ms
    best = first_within(sorted(itertools.product(range(5), repeat=6), key=worth, reverse=True), limit_ms)
    trainer.derive()
    found = tuple(trainer.derived)
    assert fitted().predict(CELLS.decode(found)).high_ms <= limit_ms
    assert worth(found) == pytest.approx(worth(best))
    trainer.settings = replace(SEARCHING, exclude_none=False)
    free = CELLS.indices(trainer.deriver()(trainer.problem))
    assert free.count(0) >= found.count(0)
    assert isinstance(CELLS.decisions[0].candidates[0], Zero)


def test_what_is_fixed_early_is_mixed_no_more(digits):
    trainer = DARTSTrainer(problem(digits), replace(SEARCHING, fixing_gap=-1.0))
    trainer.step(*next(iter(digits.train_batches(0))))
    assert len(trainer.fixed) == 6
    for weights, alpha, z in zip(
        trainer.probabilities(),
        trainer.net.alphas,
        one_hot(trainer.net.alphas, list(trainer.decided.values())),
        strict=True,
    ):
        assert torch.equal(weights, z) and not weights.requires_grad
        assert not alpha.grad.any()


def test_it_needs_validation_images():
    data = load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.0, workers=0)
    with pytest.raises(UsageError, match="DARTS updates its logits on validation images"):
        DARTSTrainer(problem(data), DARTSSettings())


def test_published_is_of_the_second_order_and_unknown_orders_are_refused():
    published = DARTSSettings.published()
    assert (published.order, published.alpha_lr, published.alpha_weight_decay) == ("second", 3e-4, 1e-3)
    assert published.lr * np.sqrt(64 / 1024) == pytest.approx(0.025)
    with pytest.raises(UsageError, match="order must be one of first, second"):
        DARTSSettings(order="third")


@pytest.fixture(scope="module")
def of_the_paper() -> Budget:
    """One that all cells of its search network are within."""
    space = get_space("darts", cells=3, channels=2, resolution=8, convention="darts")
    predictor = fit(made_table(space, networks=12))
    return Budget(predictor.predict(predictor.extremes(space)[1]).high_ms, space, predictor)


@pytest.mark.parametrize("name", weekly_except(["darts"], ["darts", "darts-pt", "cdarts"]))
def test_the_search_network_of_the_paper_whose_norms_learn_nothing_is_searched(of_the_paper, name):
    data = load_data("digits", resolution=8, batch_size=16, limit_train=32, val_fraction=0.05, workers=0)
    within = SearchProblem(data, of_the_paper, 1)
    trainer = {"darts": DARTSTrainer, "darts-pt": DARTSPTTrainer, "cdarts": CDARTSTrainer}[name]
    settings = get_search(name).resolve({"derive": "probable"} if name == "darts" else {})
    figures = trainer(within, settings).step(*next(iter(data.train_batches(0))))
    assert math.isfinite(figures["loss"])


def test_logits_lean_to_the_budget_though_they_begin_near_zero(digits):
    uniform = DARTSTrainer(problem(digits), DARTSSettings())
    assert all(abs(float(alpha.detach().mean())) < 0.01 for alpha in uniform.net.alphas)
    fastest = fitted().predict(fitted().extremes(CELLS)[0])
    tight = SearchProblem(digits, Budget(1.3 * fastest.high_ms, CELLS, fitted()), 2)
    leaning = DARTSTrainer(tight, DARTSSettings(first_logits="budget"))
    assert leaning.expected_ms() < uniform.expected_ms()
    assert leaning.expected_ms() == pytest.approx(tight.budget.target_ms, rel=0.05)
