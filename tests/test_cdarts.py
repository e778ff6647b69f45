"""Cyclic DARTS: its divergence, its L1 term, and what each step moves, against the expressions of the authors' code."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches.cdarts import CDARTSTrainer, cdarts
from hwnas.searches.cdarts_settings import CDARTSSettings
from hwnas.searches.cyclic_losses import (
    count_skips,
    divergence,
    ensemble,
    l1,
    l1_weight,
    regularised_logits,
)
from hwnas.searches.problem import SearchProblem
from hwnas.spaces.nas_bench_201 import OPERATORS, nas_bench_201
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.embedding_heads import EmbeddingHead, level_ends
from hwnas.supernet.relaxation import Relaxation
from hwnas.train import distributed
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem
from tests.test_latency import made_table
from tests.test_train_distributed import needs_gloo, run_processes

CELLS = nas_bench_201(resolution=16, width=0.25, cells_per_stage=1)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
JOINT = CDARTSSettings(pretrain=0.0, search=1.0, evaluation_warmup=0.0, clip_norm=None)
AS_PUBLISHED = replace(JOINT, evaluation_images="validation", pool="fresh", kl_reduction="mean")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


@cache
def fitted():
    return fit(made_table(CELLS, networks=12))


def on_cells(data, epochs=2) -> SearchProblem:
    predictor = fitted()
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(CELLS))
    return SearchProblem(data, Budget((fastest + slowest) / 2, CELLS, predictor), epochs)


def copied(trainer: CDARTSTrainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.net.named_parameters()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Which parts have weights that differ: the stem, the search net, the pool, the heads, the logits."""

    def part(name: str) -> str:
        if name.startswith("search.alphas"):
            return "logits"
        return "stem" if name.startswith("search.nodes.0.") else name.split(".")[0]

    return {part(name) for name in before if not torch.equal(before[name], after[name])}


def test_22_the_divergence_is_the_published_one():
    """T^2 KL(teacher || student), and `mean` is smaller than `batchmean` by the number of classes."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    golden = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))  # softmax(teacher / 2) is 3/4, 1/4
    assert float(divergence(student, teacher, 2.0, "batchmean")) == pytest.approx(golden) == pytest.approx(0.523248)
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)), torch.ones(6, 10).cumsum(1)
    assert float(divergence(*logits, 2.0, "mean")) == pytest.approx(float(divergence(*logits, 2.0, "batchmean")) / 10)
    assert float(divergence(logits[0], logits[0].clone(), 2.0, "batchmean")) == pytest.approx(0.0, abs=1e-6)
    assert float(divergence(student, teacher / 2, 1.0, "batchmean")) == pytest.approx(golden / 4)


def test_22_the_ensemble_is_every_level_with_its_share_below_the_others():
    levels = [torch.full((2, 5), float(level)) for level in (3, 6, 9)]
    found = ensemble(levels)
    assert found.shape == (6, 5)
    assert found[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


def test_22_the_divergence_teaches_both_sides():
    student, teacher = torch.zeros(1, 3, requires_grad=True), torch.tensor([[1.0, 0.0, 2.0]], requires_grad=True)
    divergence(student, teacher, 2.0, "mean").backward()
    assert student.grad.abs().max() > 0 and teacher.grad.abs().max() > 0


def test_23_as_published_validation_images_teach_the_evaluation_net_and_training_images_the_search_net(digits):
    trainer = CDARTSTrainer(on_cells(digits), AS_PUBLISHED)
    start, between = copied(trainer), {}
    search_step = trainer.nets.search_step

    def searched(images, labels):
        between.update(copied(trainer))
        left = [p.grad for _, p in trainer.net.search.weights() if p.grad is not None]
        assert left and not any(bool(gradient.any()) for gradient in left)  # of the validation images
        return search_step(images, labels)

    trainer.nets.search_step = searched
    trainer.step(*next(iter(digits.train_batches(0))))
    assert moved(start, between) == {"stem", "pool", "heads", "logits"}
    assert moved(between, copied(trainer)) == {"stem", "search"}


def test_23_by_default_validation_images_teach_the_logits_alone(digits):
    trainer = CDARTSTrainer(on_cells(digits), JOINT)
    start, between = copied(trainer), {}
    validation_batch = trainer.validation_batch
    joint_loss, calls = trainer.nets.joint_loss, []

    def joint(batch, path, probabilities):
        calls.append((len(batch[1]), any(p.requires_grad for p in probabilities)))
        if len(calls) == 2:
            between.update(copied(trainer))
        return joint_loss(batch, path, probabilities)

    trainer.nets.joint_loss = joint
    trainer.step(*next(iter(digits.train_batches(0))))
    assert calls == [(32, False), (len(validation_batch()[1]), True)]
    assert moved(start, between) == {"stem", "search", "pool", "heads"}
    assert moved(between, copied(trainer)) == {"logits"}


@pytest.mark.parametrize("phase", ["warm-up", "evaluation net alone"])
def test_23_a_net_that_is_trained_alone_moves_nothing_else(digits, phase):
    settings = replace(JOINT, pretrain=0.5) if phase == "warm-up" else replace(JOINT, cycles=1, evaluation_warmup=0.5)
    trainer = CDARTSTrainer(on_cells(digits), settings)
    start = copied(trainer)
    figures = trainer.step(*next(iter(digits.train_batches(0))))
    assert "kl" not in figures
    assert moved(start, copied(trainer)) - {"pool"} == ({"stem", "search"} if phase == "warm-up" else set())


def test_24_the_l1_weight_falls_linearly_to_nothing(digits):
    assert [l1_weight(5.0, share, 0.2) for share in (0.0, 0.1, 0.2, 0.5)] == pytest.approx([5.0, 2.5, 0.0, 0.0])
    assert l1_weight(5.0, 0.0, 0.0) == 0.0
    trainer = CDARTSTrainer(on_cells(digits, epochs=5), replace(JOINT, pretrain=0.2, l1_ratio=0.5))
    weights = []
    for step in range(trainer.pretrain_steps, trainer.search_steps):
        trainer.step_count = step
        weights.append(trainer.l1_weight)
    assert weights == pytest.approx([5.0, 3.75, 2.5, 1.25, 0.0, 0.0, 0.0, 0.0])


def test_24_it_presses_the_raw_logits_of_skips_and_pools_alone():
    alphas = [torch.tensor([0.3, -0.2, 0.1, 0.4, 0.5], requires_grad=True) for _ in CELLS.decisions]
    (5.0 * l1(alphas, regularised_logits(list(map(Relaxation, CELLS.decisions))))).backward()
    assert OPERATORS[1] == "skip_connect" and OPERATORS[4] == "avg_pool_3x3"
    for alpha in alphas:
        assert alpha.grad.tolist() == [0.0, -5.0, 0.0, 0.0, 5.0]
    # a chain: where a block may be left out
    counts = regularised_logits(list(map(Relaxation, SPACE.decisions)))
    assert [count.tolist() for count in counts[:2]] == [[0.0] * 4, [0.0] * 4 + [1.0]][: len(counts)]


def test_24_logits_begin_near_zero_which_is_where_the_term_pulls_them():
    torch.manual_seed(0)
    values = torch.cat([alpha.detach() for alpha in CyclicNet(CELLS).alphas])
    assert 2e-4 < float(values.std()) < 2e-3 and abs(float(values.mean())) < 1e-3


def test_25_candidates_that_leave_the_evaluation_net_keep_their_weights(digits):
    """In the authors' code they are copied to a pool and back; here the evaluation net is a path of the pool."""
    settings = replace(JOINT, cycles=2, weight_decay=0.1)  # a decay would move what does not run
    trainer = CDARTSTrainer(on_cells(digits), settings)
    batch = next(iter(digits.train_batches(0)))
    first, second = [3] * 6, [2] * 6
    trainer.most_probable = lambda: first if trainer.step_count == 0 else second
    trainer.step(*batch)
    trainer.step(*batch)

    def weights(operator: int) -> list[torch.Tensor]:
        return [p.clone() for places in trainer.net.pool.choices().values() for p in places[0][operator].parameters()]

    before = [weights(operator) for operator in (2, 3)]
    trainer.step(*batch)
    assert trainer.path == second
    after = [weights(operator) for operator in (2, 3)]
    changed = [
        any(not torch.equal(a, b) for a, b in zip(*each, strict=True)) for each in zip(before, after, strict=True)
    ]
    assert changed == [True, False]


def test_26_the_evaluation_net_may_be_of_another_depth():
    net = CyclicNet(CELLS, nas_bench_201(resolution=16, width=0.25, cells_per_stage=2))
    path = [3, 1, 2, 4, 0, 3]
    searched = net.search_levels(IMAGES, net.probabilities())
    evaluated = net.evaluation_levels(IMAGES, path)
    assert len(net.pool.nodes) == len(net.search.nodes) + 3
    assert [level.shape for level in searched] == [level.shape for level in evaluated] == [(4, 10)] * 3
    assert net.trained is net.search  # a child of the space that is searched
    torch.testing.assert_close(net.eval().run_path(IMAGES, path), net.inherit(CELLS.decode(path)).eval()(IMAGES))
    with pytest.raises(UsageError, match="same shapes"):
        CyclicNet(CELLS, nas_bench_201(resolution=16, width=1.0, cells_per_stage=1))
    with pytest.raises(UsageError, match="decisions"):
        CyclicNet(CELLS, SPACE)


def test_heads_stand_behind_the_stages_and_take_states_of_any_size():
    """As published after the reductions: of 16 pixels there are 8 and 4 left. On a chain: behind blocks with stride."""
    assert [shape[1:] for _, shape in level_ends(CELLS)] == [(8, 8), (4, 4)]
    assert [type(CELLS.nodes[place]).__name__ for place, _ in level_ends(CELLS)] == ["Reduction"] * 2
    chain = level_ends(SPACE)
    assert len(chain) == 2 and all(SPACE.nodes[place].candidates[0].stride == 2 for place, _ in chain)
    for side in (1, 2, 3, 4, 7, 8, 16):
        assert EmbeddingHead((8, side, side), 10)(torch.randn(3, 8, side, side)).shape == (3, 10)
    published = EmbeddingHead((64, 8, 8), 10)
    assert published.features[1](torch.zeros(1, 64, 8, 8)).shape[2:] == (2, 2)
    assert sum(p.numel() for p in published.parameters()) == 64 * 128 + 4 * 128 * 768 + 768 * 10 + 10


def test_the_stem_is_shared_and_nothing_else_is():
    net = CyclicNet(CELLS)
    assert net.pool.nodes[0] is net.search.nodes[0]
    own = {id(p) for p in net.search.parameters()} & {id(p) for p in net.pool.parameters()}
    assert own == {id(p) for p in net.stem_weights()}
    net.fill_pool()
    path = [3, 1, 2, 4, 0, 3]
    torch.testing.assert_close(net.eval().pool.run_path(IMAGES, path), net.search.run_path(IMAGES, path))


def test_a_cycle_warms_its_evaluation_net_up_and_then_both_learn(digits):
    trainer = CDARTSTrainer(on_cells(digits, epochs=10), replace(JOINT, pretrain=0.2, cycles=2, evaluation_warmup=0.5))
    assert [trainer.cycle_of(step) for step in range(4, 20)] == [
        (cycle, alone) for cycle in (0, 1) for alone in (True,) * 4 + (False,) * 4
    ]


def test_every_cycle_has_more_cycles_than_steps_at_most(digits):
    trainer = CDARTSTrainer(on_cells(digits), replace(JOINT, cycles=100))
    assert [trainer.cycle_of(step) for step in range(4)] == [(step, False) for step in range(4)]


def test_each_cycle_begins_without_momenta(digits):
    trainer = CDARTSTrainer(on_cells(digits), replace(JOINT, cycles=2))
    batch = next(iter(digits.train_batches(0)))
    trainer.step(*batch)
    trainer.step(*batch)
    nets = trainer.nets
    assert all(each.state for each in (nets.weights.optimizer, nets.evaluation_optimizer, nets.alpha_optimizer))
    trainer.begin()
    assert trainer.cycle == 1
    assert not any(each.state for each in (nets.weights.optimizer, nets.evaluation_optimizer, nets.alpha_optimizer))


def test_clipped_together_the_l1_term_takes_the_gradient_from_the_weights(digits):
    """As published: 12 logits of weight 5 have a norm of 17, of which 5 is left for all."""
    steps = []
    for together in (False, True):
        settings = replace(AS_PUBLISHED, clip_norm=5.0, clip_together=together, lr_warmup=0.0, momentum=0.0)
        trainer = CDARTSTrainer(on_cells(digits), settings)
        trainer.path = [3] * 6
        trainer.most_probable = lambda: [3] * 6
        before = copied(trainer)
        trainer.step(*next(iter(digits.train_batches(0))))
        name = "pool.nodes.5.edges.0-1.3.layers.0.weight"
        steps.append(float((copied(trainer)[name] - before[name]).norm()))
    assert steps[1] < 0.5 * steps[0]


def test_a_run_logs_cycles_skips_and_the_divergence(tmp_path, digits):
    result = cdarts(on_cells(digits, epochs=6), Run(tmp_path, {}), settings=CDARTSSettings(cycles=2))
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {record["cycle"] for record in records} == {-1.0, 0.0, 1.0}
    assert any("kl" in record and record["kl"] >= 0 for record in records)
    space = result.problem.budget.space
    chosen = zip(space.decisions, space.indices(result.architecture), strict=True)
    assert records[-1]["skips"] == sum(OPERATORS[index] == "skip_connect" for _, index in chosen)
    assert count_skips(result.architecture.blocks) == 3 * records[-1]["skips"]  # three cells, dead edges included


def test_published_settings_run_at_a_constant_rate(digits):
    trainer = CDARTSTrainer(on_cells(digits, epochs=3), CDARTSSettings.published())
    rates = set()
    for epoch in range(3):
        for batch in digits.train_batches(epoch):
            trainer.step(*batch)
            rates |= {group["lr"] for group in trainer.nets.weights.optimizer.param_groups}
            trainer.nets.set_rates()
    assert trainer.nets.peak_rate == pytest.approx(0.2 * math.sqrt(32 / 256))
    assert trainer.nets.peak_rate in {group["lr"] for group in trainer.nets.evaluation_optimizer.param_groups}
    assert trainer.search_steps == trainer.total_steps and trainer.derived is None


def test_without_images_to_validate_it_says_what_to_do():
    def data(val_fraction, batch_size=32):
        return load_data(
            "digits", resolution=16, batch_size=batch_size, limit_train=64, val_fraction=val_fraction, workers=0
        )

    with pytest.raises(UsageError, match="CDARTS updates its logits on validation images"):
        CDARTSTrainer(problem(data(0.0)), CDARTSSettings())
    with pytest.raises(UsageError, match="batches of 2 validation images or more"):
        CDARTSTrainer(problem(data(0.1, batch_size=1)), CDARTSSettings())


def test_an_evaluation_net_with_options_that_the_space_lacks_is_refused(digits):
    with pytest.raises(UsageError, match="'floors'"):
        CDARTSTrainer(problem(digits), CDARTSSettings(evaluation={"floors": 3}))
    with pytest.raises(UsageError, match="same shapes"):
        CDARTSTrainer(problem(digits), CDARTSSettings(evaluation={"width": 1.0}))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"pretrain": 0.6}, "pretrain=0.6, search=0.5"),
        ({"cycles": 0}, "1 cycle or more"),
        ({"evaluation_warmup": 1.0}, "evaluation_warmup"),
        ({"l1_ratio": -0.1}, "l1_ratio"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"temperature": 0.0}, "temperature"),
        ({"pool": "empty"}, "pool must be one of search, fresh"),
        ({"schedule": "step"}, "schedule must be one of"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, rule):
    with pytest.raises(UsageError, match=rule):
        CDARTSSettings(**given)


def search_in_cells(folder: Path) -> dict[str, Any]:
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    trainer = CDARTSTrainer(on_cells(data, epochs=6), CDARTSSettings(pretrain=0.2, search=0.8, cycles=2))
    for epoch in range(6):
        for images, labels in data.train_batches(epoch):
            figures = trainer.step(distributed.share(images), distributed.share(labels))
    state = {name: value.double().sum().item() for name, value in trainer.net.state_dict().items()}
    return {"state": state, "taken": trainer.derived, "loss": figures["loss"]}


@needs_gloo
def test_processes_stay_one_network_though_each_sees_its_share_of_the_images(tmp_path):
    first, second = run_processes(2, search_in_cells, tmp_path / "two")
    assert first["state"] == second["state"]  # bit for bit: weights of both nets, heads, logits and statistics
    assert first["taken"] == second["taken"] is not None
    assert first["loss"] != second["loss"]


def test_23_the_stem_learns_nothing_of_the_steps_that_the_evaluation_net_has_alone(digits):
    trainer = CDARTSTrainer(on_cells(digits), replace(JOINT, cycles=1, evaluation_warmup=0.5))
    trainer.step(*next(iter(digits.train_batches(0))))
    assert not any(p.grad is not None and bool(p.grad.any()) for p in trainer.net.stem_weights())
