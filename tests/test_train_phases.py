"""Phases: every setting that asks for a share of a training gets it, however short the training is."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import UsageError
from hwnas.run import Run
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proxyless import ProxylessSettings, ProxylessTrainer
from hwnas.searches.registry import get_search
from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer
from hwnas.searches.snas import SNASSettings, SNASTrainer
from hwnas.train.data import ImageData, load_data
from hwnas.train.loop import train
from hwnas.train.optim import warmup_steps
from hwnas.train.phases import phase_ends
from hwnas.train.weights import WeightSettings
from tests.test_dsnas import problem
from tests.weekly import weekly_except

TRAINERS = {
    "dsnas": (DSNASTrainer, DSNASSettings),
    "snas": (SNASTrainer, SNASSettings),
    "proxyless": (ProxylessTrainer, ProxylessSettings),
    "single-path": (SinglePathTrainer, SinglePathSettings),
}


@pytest.fixture(scope="module")
def one_batch() -> ImageData:
    """An epoch is one step, and its batch is not a full one."""
    data = load_data("digits", resolution=16, batch_size=64, limit_train=48, val_fraction=0.05, workers=0)
    assert data.steps_per_epoch == 1
    return data


@settings(deadline=None)
@given(
    st.integers(1, 3000), st.lists(st.floats(0, 1), min_size=1, max_size=4).map(sorted), st.integers(0, 4), st.data()
)
def test_every_phase_has_its_share_of_the_steps_and_one_at_least(total, ends, count, data):
    shares = {str(number): end for number, end in enumerate(ends)} | {"last": 1.0}
    given_up = data.draw(st.permutations(sorted(shares))) if count else ()
    steps = phase_ends(total, shares, given_up)
    lengths = [end - start for start, end in zip([0, *steps.values()], steps.values(), strict=False)]
    widths = [end - start for start, end in zip([0.0, *shares.values()], shares.values(), strict=False)]
    wanted = [length for length, width in zip(lengths, widths, strict=True) if width > 0]
    assert sum(lengths) == total
    assert all(length == 0 for length, width in zip(lengths, widths, strict=True) if width == 0)
    if total >= len(wanted):
        assert min(wanted) >= 1
    elif given_up:
        assert sorted(wanted) == [0] * (len(wanted) - total) + [1] * total
    if total > 100:  # no end lies before its share but where the phases after it need their one step
        assert all(n >= min(shares[name] * total - 1e-3, total - len(wanted)) for name, n in steps.items())


@pytest.mark.parametrize("epochs", [4, 6])
def test_short_searches_pretrain_their_weights(one_batch, epochs):
    """Fifteen percent of four epochs, or of six, are less than one."""
    trainer = DSNASTrainer(problem(one_batch, epochs=epochs), DSNASSettings())
    assert (trainer.pretrain_steps, trainer.search_steps) == (1, epochs // 2)


def test_shares_are_of_steps_and_not_of_whole_epochs():
    data = load_data("digits", resolution=16, batch_size=32, limit_train=670, workers=0)
    trainer = DSNASTrainer(problem(data, epochs=1), DSNASSettings())
    assert trainer.total_steps == 20
    assert (trainer.pretrain_steps, trainer.search_steps) == (3, 10)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("epochs", weekly_except([3], [3, 4, 5]))
def test_the_shortest_searches_train_what_decides(one_batch, name, epochs):
    """One batch per epoch: latency presses, logits or thresholds move, and the weights of what is taken are trained."""
    trainer_of, settings_of = TRAINERS[name]
    task: SearchProblem = problem(one_batch, epochs=epochs, budget_share=0.3)
    over = {} if name == "single-path" else {"first_logits": "uniform"}  # of the budget, so that there is what to press
    trainer = trainer_of(task, settings_of(search=0.7, **over))
    deciding = (
        dict(trainer.net.architecture_parameters())
        if name == "single-path"
        else dict(trainer.net.alphas.named_parameters())
    )
    before = {key: value.detach().clone() for key, value in deciding.items()}
    pressed = []
    for epoch in range(epochs):
        for images, labels in one_batch.train_batches(epoch):
            pressed.append(trainer.step(images, labels)["multiplier"] > 0)
    assert any((value != before[key]).any() for key, value in deciding.items())
    assert any(pressed) and not pressed[0]  # the first step warms up
    if epochs > 3 or name != "single-path":  # three steps are too few for its four phases
        assert trainer.search_steps < trainer.total_steps and trainer.derived is not None


def test_a_short_descent_reaches_the_budget(one_batch):
    for epochs in (2, 4, 5, 8):
        trainer = SinglePathTrainer(problem(one_batch, epochs=epochs), SinglePathSettings())
        trainer.step_count = trainer.search_steps - 1
        assert trainer.descending_budget().budget_ms == pytest.approx(trainer.problem.budget.budget_ms), epochs


def test_decisions_are_fixed_in_a_search_of_less_than_an_epoch():
    data = load_data("digits", resolution=16, batch_size=16, limit_train=128, workers=0)
    trainer = DSNASTrainer(
        problem(data, epochs=1), DSNASSettings(pretrain=0.0, fixing_gap=-1.0, first_logits="uniform")
    )
    for number, (images, labels) in enumerate(data.train_batches(0)):
        if number == 1:
            trainer.fixed.clear()  # what the first step of the search fixed
        trainer.step(images, labels)
    assert trainer.search_steps == 4 and len(trainer.fixed) == len(trainer.net.alphas)


def test_fewer_steps_than_phases_are_said(one_batch, caplog):
    with caplog.at_level(logging.WARNING):
        trainer = DSNASTrainer(problem(one_batch, epochs=2), DSNASSettings(lr_warmup=0.0))
    assert (trainer.pretrain_steps, trainer.search_steps) == (1, 2)
    (said,) = caplog.messages
    assert "2 steps, too few for its 3 phases: there is none for the training of the derived architecture" in said


def test_the_learning_rate_rises_for_a_step_at_least_and_never_for_all():
    assert [warmup_steps(0.05, total) for total in (2, 20, 21, 100)] == [1, 1, 2, 5]
    assert warmup_steps(0.0, 10) == 0 and warmup_steps(0.05, 1) == 0 and warmup_steps(0.99, 5) == 4


@pytest.mark.parametrize(
    ("method", "given", "rule"),
    [
        ("dsnas", {"pretrain": 0.6}, "pretrain=0.6, search=0.5"),
        ("snas", {"search": 0.0, "pretrain": 0.0}, "pretrain < search <= 1"),
        ("proxyless", {"search": 1.5}, "pretrain < search <= 1"),
        ("proxyless", {"alpha_every": 0}, "alpha_every must be 1 or more, not 0"),
        ("spos", {"lr_warmup": 1.0}, "lr_warmup is a share"),
    ],
)
def test_shares_that_no_training_has_are_refused(method, given, rule):
    with pytest.raises(UsageError, match=rule):
        get_search(method).resolve(given)


def test_weights_that_only_warm_up_are_refused():
    with pytest.raises(UsageError, match="lr_warmup"):
        WeightSettings(lr_warmup=-0.1)


@pytest.mark.parametrize("name", ["dsnas", "snas", "proxyless", "gdas"])
def test_a_search_without_a_step_of_its_own_is_refused(name):
    with pytest.raises(UsageError, match=r"0 <= pretrain < search <= 1, not pretrain=0.5, search=0.5"):
        get_search(name).resolve({"pretrain": 0.5, "search": 0.5})


def test_a_training_ends_at_its_last_step_in_the_middle_of_an_epoch(tmp_path):
    data = load_data("digits", resolution=16, batch_size=32, limit_train=160, workers=0)
    trainer = SinglePathTrainer(problem(data, epochs=2), SinglePathSettings())
    trainer.total_steps, told = 3, []
    assert data.steps_per_epoch > 3
    train(trainer, data, Run(tmp_path, {}), lambda step, total, _: told.append((step, total)))
    assert told == [(1, 3), (2, 3), (3, 3)] and trainer.step_count == 3
