"""Tables, the additive predictor and the budget: on the published Pixel 1 table, and on made ones of known answer."""

import itertools
import json
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.optimize import LinearConstraint, milp

import hwnas.latency.tables.table as table_module
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import TOLERANCE, Budget
from hwnas.latency.decoding import mean_per_ms, most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.multiplier import Multiplier
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.latency.terms import BIAS, COUNT, SUM
from hwnas.space import OneOf
from hwnas.spaces import get_space

TINY = get_space("tiny")


def latency(ms: float, between_visits_percent: float = 0.5) -> Latency:
    return Latency(ms, 0.95 * ms, 1.1 * ms, runs=50, between_visits_percent=between_visits_percent)


def made_table(space=TINY, networks=0, scale=1.0, per_block=0.0, bias=0.0, noise=0.0, seed=0) -> LatencyTable:
    """Blocks that cost 1 ms per 10 M MACs; networks that follow the calibrated sum exactly, or with noise."""
    rng = random.Random(seed)
    table = LatencyTable(conditions={"threads": 1})
    for spec, shape in space.distinct_blocks():
        table.blocks[spec, shape] = latency(0.01 + spec.macs(shape) / 1e7)
    for _ in range(networks):
        architecture = space.sample(rng)
        blocks = [b for b in architecture.placed_blocks() if not b[0].is_identity]
        ms = scale * sum(table.block_ms(*b) for b in blocks) + per_block * len(blocks) + bias
        table.networks[architecture] = latency(ms * (1 + rng.gauss(0, noise)))
    return table


@cache
def fitted(**made) -> AdditivePredictor:
    """A predictor of `tiny`, which several tests share."""
    return fit(made_table(**made))


@pytest.fixture(scope="module")
def pixel1(shared_data) -> AdditivePredictor:
    """The published Pixel 1 table of Single-Path NAS: ms of its 22 layers; stem and head are the constant 19.5999."""
    rows = json.loads((shared_data / "latency" / "pixel1_single_path.json").read_text())["layers_ms"]
    return published_table(get_space("single-path"), rows)


def published_table(space, rows) -> AdditivePredictor:
    # the table has a row per layer, ours a row per distinct block: names make the 20 layers distinct here
    class PerLayer(AdditivePredictor):
        def decision_costs(self, space):
            costs = [
                np.array([*row[:4], 0.0][: len(d.candidates)])
                for d, row in zip(space.decisions, rows[1:21], strict=True)
            ]
            return 19.5999, costs

    nothing = AdditivePredictor.block_sum({})
    return PerLayer(nothing.terms, {}, nothing.uncertainty, nothing.card)


@pytest.mark.parametrize(("choice", "total_ms"), [(0, 65.69), (1, 110.65), (2, 76.36), (3, 131.46)])
def test_expected_ms_of_one_hot_choices_is_the_published_sum(pixel1, choice, total_ms):
    space = get_space("single-path")
    one_hot = [torch.eye(len(d.candidates), dtype=torch.float64)[choice] for d in space.decisions]
    assert float(pixel1.expected_ms(space, one_hot)) == pytest.approx(total_ms, abs=0.01)


def test_the_published_network_costs_80_44_ms(pixel1):
    code = [0, 0, 0, 4, 3, 0, 0, 0, 3, 0, 0, 0, 3, 2, 2, 2, 3, 3, 3, 3]
    space = get_space("single-path")
    one_hot = [torch.eye(len(d.candidates), dtype=torch.float64)[i] for d, i in zip(space.decisions, code, strict=True)]
    assert float(pixel1.expected_ms(space, one_hot)) == pytest.approx(80.4411, abs=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_expected_ms_is_the_prediction_for_one_hot_choices(seed):
    """Invariant 35."""
    predictor = fitted(networks=12, scale=0.9, per_block=0.02, bias=0.1)
    architecture = TINY.sample(random.Random(seed))
    one_hot = [
        torch.eye(len(d.candidates), dtype=torch.float64)[i]
        for d, i in zip(TINY.decisions, TINY.indices(architecture), strict=True)
    ]
    assert float(predictor.expected_ms(TINY, one_hot)) == pytest.approx(predictor.predict(architecture).ms, rel=1e-12)


def test_expected_ms_is_differentiable_and_its_gradient_is_the_cost():
    predictor = fitted(networks=8)
    uniform = [
        torch.full((len(d.candidates),), 1 / len(d.candidates), dtype=torch.float64, requires_grad=True)
        for d in TINY.decisions
    ]
    predictor.expected_ms(TINY, uniform).backward()
    for probability, cost in zip(uniform, predictor.decision_costs(TINY)[1], strict=True):
        np.testing.assert_allclose(probability.grad.numpy(), cost)


def test_expected_ms_is_the_mean_over_sampled_architectures():
    predictor = fitted(networks=8)
    probabilities = [torch.softmax(torch.arange(len(d.candidates), dtype=torch.float64), 0) for d in TINY.decisions]
    total = 0.0
    for code in itertools.product(*[range(len(d.candidates)) for d in TINY.decisions[:2]]):
        weight = float(probabilities[0][code[0]] * probabilities[1][code[1]])
        total += weight * predictor.predict(TINY.decode([*code, 0, 0, 0, 0, 0])).ms
    fixed = [torch.eye(len(d.candidates), dtype=torch.float64)[0] for d in TINY.decisions[2:]]
    assert float(predictor.expected_ms(TINY, [*probabilities[:2], *fixed])) == pytest.approx(total)


def test_calibration_recovers_its_coefficients_and_reports_no_error():
    predictor = fit(made_table(networks=30, scale=0.8, per_block=0.03, bias=0.2))
    assert [predictor.weights[term] for term in (SUM, COUNT, BIAS)] == pytest.approx([0.8, 0.03, 0.2], abs=0.02)
    assert predictor.card.mape < 0.5
    assert (predictor.card.hit5, predictor.card.hit10, predictor.card.n_networks) == (100, 100, 30)
    assert predictor.card.spearman > 0.99


def test_the_card_reports_the_noise_it_was_given():
    card = fit(made_table(networks=200, noise=0.05)).card
    assert 3 < card.mape < 5.5  # the mean absolute value of a 5 % gaussian is 4 %
    assert 55 < card.hit5 < 80
    assert card.noise_floor == pytest.approx(0.25)


def test_the_interval_covers_nine_in_ten_unseen_networks():
    predictor = fit(made_table(networks=60, noise=0.04))
    unseen = made_table(networks=300, noise=0.04, seed=1).networks
    inside = [p.low_ms <= row.median_ms <= p.high_ms for a, row in unseen.items() for p in [predictor.predict(a)]]
    assert 0.82 < np.mean(inside) < 0.97


def test_without_networks_it_is_the_plain_sum_and_says_so():
    table = made_table()
    predictor = fit(table)
    architecture = TINY.decode([0] * 7)
    assert predictor.predict(architecture).ms == pytest.approx(
        sum(table.block_ms(*b) for b in architecture.placed_blocks())
    )
    assert predictor.card.mape is None
    assert "not evaluated" in predictor.card.protocol


def test_table_and_predictor_survive_saving(tmp_path):
    table = made_table(networks=10)
    table.save(tmp_path)
    again = LatencyTable.load(tmp_path)
    assert (again.blocks, again.networks, again.conditions) == (table.blocks, table.networks, table.conditions)
    predictor = fit(again)
    predictor.save(tmp_path / "predictor.json")
    loaded = AdditivePredictor.load(tmp_path / "predictor.json")
    assert (loaded.digest, loaded.card) == (predictor.digest, predictor.card)
    for architecture in table.networks:
        before, after = predictor.predict(architecture), loaded.predict(architecture)
        assert after.ms == before.ms
        assert after.interval_ms == pytest.approx(before.interval_ms, rel=1e-4)


def test_networks_of_a_space_leaves_out_other_spaces():
    other = get_space("nas-bench-macro")
    table = made_table(networks=5)
    table.networks |= made_table(other, networks=4).networks
    assert len(table.networks_of(TINY)) == 5
    assert len(table.networks_of(other)) == 4
    assert table.networks_of(get_space("tiny", num_classes=3)) == {}


def test_a_missing_block_is_named_with_the_cure():
    predictor = fit(made_table())
    with pytest.raises(HwnasError, match=r"no latency for Head\(80->320->7\).*hwnas measure"):
        predictor.predict(get_space("tiny", num_classes=7).decode([0] * 7))
    assert made_table().missing(get_space("tiny", num_classes=7)) == [
        (get_space("tiny", num_classes=7).nodes[-1], (80, 4, 4))
    ]


@pytest.mark.parametrize("damage", ["nan", "-1.0", "fast", ""])
def test_a_damaged_row_is_named(tmp_path, damage):
    made_table(networks=5).save(tmp_path)
    lines = (tmp_path / "blocks.csv").read_text().splitlines()
    column = lines[0].split(",").index("median_ms")
    cells = lines[3].split(",", column + 1)
    lines[3] = ",".join([*cells[:column], damage, cells[column + 1]])
    (tmp_path / "blocks.csv").write_text("\n".join(lines))
    with pytest.raises(HwnasError, match=r"blocks\.csv, line 4"):
        LatencyTable.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00bad", b'block\n"unfinished', b"a,b\n1,2\n"])
def test_a_foreign_csv_is_refused(tmp_path, content):
    made_table().save(tmp_path)
    (tmp_path / "blocks.csv").write_bytes(content)
    with pytest.raises(HwnasError, match="damaged"):
        LatencyTable.load(tmp_path)


@pytest.mark.parametrize("name", ["blocks.csv", "networks.csv"])
def test_rows_that_were_lost_at_the_end_are_noticed(tmp_path, name):
    made_table(networks=5).save(tmp_path)
    lines = (tmp_path / name).read_text().splitlines(keepends=True)
    (tmp_path / name).write_text("".join(lines[:-2]))
    with pytest.raises(HwnasError, match=rf"{name} is damaged: {len(lines) - 3} of the {len(lines) - 1} rows"):
        LatencyTable.load(tmp_path)


def test_networks_that_were_lost_are_noticed(tmp_path):
    made_table(networks=5).save(tmp_path)
    (tmp_path / "networks.csv").unlink()
    with pytest.raises(HwnasError, match=r"networks\.csv is missing, and 5 rows"):
        LatencyTable.load(tmp_path)


def test_a_table_without_blocks_is_read_as_it_was_written(tmp_path):
    networks = made_table(networks=5).networks
    LatencyTable(networks=networks).save(tmp_path)
    again = LatencyTable.load(tmp_path)
    assert (again.blocks, set(again.networks)) == ({}, set(networks))


def test_damaged_conditions_and_predictor_are_refused(tmp_path):
    made_table().save(tmp_path)
    (tmp_path / "conditions.json").write_text("{")
    with pytest.raises(HwnasError, match=r"conditions\.json"):
        LatencyTable.load(tmp_path)
    (tmp_path / "predictor.json").write_text('{"format": "hwnas.additive-predictor/1"}')
    with pytest.raises(HwnasError, match="damaged"):
        AdditivePredictor.load(tmp_path / "predictor.json")


def test_an_absent_table_says_how_to_make_one(tmp_path):
    with pytest.raises(HwnasError, match="hwnas measure"):
        LatencyTable.load(tmp_path)


def test_a_budget_below_the_fastest_names_it():
    predictor = fitted(networks=10)
    fastest = predictor.extremes(TINY)[0]
    with pytest.raises(HwnasError, match=f"code {fastest.code}"):
        Budget(0.5 * predictor.predict(fastest).ms, TINY, predictor).check_feasible()
    Budget(1.01 * predictor.predict(fastest).ms, TINY, predictor).check_feasible()


@pytest.mark.parametrize("budget_ms", [0, -1, float("nan"), float("inf")])
def test_a_budget_must_be_a_positive_number(budget_ms):
    with pytest.raises(UsageError, match="positive"):
        Budget(budget_ms, TINY, fit(made_table()))


def all_of_tiny(predictor, log_p) -> tuple[np.ndarray, np.ndarray]:
    """Predicted ms and log probability of each of the 40,000 codes of `tiny`."""
    fixed_ms, costs = predictor.decision_costs(TINY)
    codes = np.array(list(itertools.product(*[range(len(c)) for c in costs])))
    ms = fixed_ms + sum(c[codes[:, i]] for i, c in enumerate(costs))
    return ms, sum(p[codes[:, i]] for i, p in enumerate(log_p))


def random_log_probabilities(seed: int, concentration: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.log(rng.dirichlet(np.full(len(d.candidates), concentration))) for d in TINY.decisions]


@pytest.mark.parametrize("per_ms", [0.0, 3.0])
def test_decoding_is_exact_against_all_40000_architectures(per_ms):
    """The knapsack's answer equals brute force over the whole space, for several limits, tilted or not."""
    predictor = fitted(networks=10)
    log_p = random_log_probabilities(0)
    ms, gain = all_of_tiny(predictor, log_p)
    for quantile in (0.001, 0.05, 0.5, 0.95):
        limit_ms = float(np.quantile(ms, quantile))
        best = (gain + per_ms * ms)[ms <= limit_ms].max()
        found = most_probable_within(Budget(limit_ms * (1 + 1e-9), TINY, predictor), log_p, per_ms)
        found_ms = predictor.predict(found).ms
        assert found_ms <= limit_ms * (1 + 1e-8)
        score = sum(p[i] for p, i in zip(log_p, TINY.indices(found), strict=True)) + per_ms * found_ms
        assert score == pytest.approx(best)


@pytest.fixture(scope="module")
def shufflenet():
    """A space of 20 decisions, and a predictor for it."""
    space = get_space("shufflenet", resolution=32)
    return space, fit(made_table(space))


def test_decoding_equals_an_integer_program_where_nothing_can_be_enumerated(shufflenet):
    """4^20 architectures, by scipy's solver: one candidate of each decision, a limit on their sum."""
    space, predictor = shufflenet
    fixed_ms, costs = predictor.decision_costs(space)
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(space))
    rng = np.random.default_rng(0)
    log_p = [np.log(rng.dirichlet(np.ones(len(cost)))) for cost in costs]
    one_each = LinearConstraint(block_diag(*[np.ones((1, len(cost))) for cost in costs]), 1, 1)
    for share in (0.1, 0.4, 0.7):
        limit_ms = fastest + share * (slowest - fastest)
        within = LinearConstraint(np.concatenate(costs)[None], ub=limit_ms - fixed_ms)
        gains = np.concatenate(log_p)
        exact = {"mip_rel_gap": 0}
        solved = milp(-gains, integrality=1, bounds=(0, 1), constraints=[one_each, within], options=exact)
        end_ms = limit_ms * (1 + predictor.half_width)  # a plain sum's intervals are all equally wide
        found = most_probable_within(Budget(end_ms, space, predictor), log_p)
        assert predictor.predict(found).ms <= limit_ms
        score = sum(p[i] for p, i in zip(log_p, space.indices(found), strict=True))
        assert score == pytest.approx(-solved.fun, rel=1e-4)


def test_decoding_ends_where_every_architecture_is_worth_taking(shufflenet):
    """All equally likely, and each ms worth something: none beats another, the slowest within the limit is best."""
    space, predictor = shufflenet
    uniform = [np.zeros(len(d.candidates)) for d in space.decisions]
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(space))
    limit_ms = (fastest + slowest) / 2
    end_ms = limit_ms * (1 + predictor.half_width)
    found = most_probable_within(Budget(end_ms, space, predictor), uniform, per_ms=1.0)
    assert 0.9999 * limit_ms <= predictor.predict(found).ms <= limit_ms * TOLERANCE


@pytest.mark.parametrize("seed", range(5))
def test_the_tilt_is_the_least_with_which_the_likeliest_costs_what_the_mean_does(seed):
    predictor = fitted(networks=10)
    log_p = random_log_probabilities(seed, concentration=5)
    ms, gain = all_of_tiny(predictor, log_p)
    mean_ms = (np.exp(gain) * ms).sum()
    likeliest_ms = ms[gain.argmax()]
    budget = Budget(2 * ms.max(), TINY, predictor)
    per_ms = mean_per_ms(budget, log_p)
    if likeliest_ms >= mean_ms:
        assert per_ms == 0
    else:
        assert ms[(gain + per_ms * ms).argmax()] >= mean_ms * (1 - 1e-6)
        assert ms[(gain + 0.98 * per_ms * ms).argmax()] < mean_ms
        tilted, plain = (most_probable_within(budget, log_p, tilt) for tilt in (per_ms, 0.0))
        assert predictor.predict(tilted).ms > predictor.predict(plain).ms


@pytest.mark.parametrize("excess", [1e-9, 6e-8])
def test_a_tilt_ends_where_rounded_probabilities_of_the_slowest_add_up_to_more_than_one(excess):
    predictor = fitted(networks=10)
    budget = Budget(2 * predictor.predict(predictor.extremes(TINY)[1]).high_ms, TINY, predictor)
    slowest = TINY.indices(predictor.extremes(TINY)[1])
    certain = [
        np.where(np.arange(len(decision.candidates)) == k, np.log1p(excess), -18.0)
        for decision, k in zip(TINY.decisions, slowest, strict=True)
    ]
    assert mean_per_ms(budget, certain) == 0


def test_a_tilt_is_not_for_more_than_the_budget():
    """Where the mean is over the target, as at the largest budgets of a frontier's end, the target counts."""
    predictor = fitted(networks=10)
    log_p = random_log_probabilities(0, concentration=5)
    ms, gain = all_of_tiny(predictor, log_p)
    small = Budget(float(ms[gain.argmax()]), TINY, predictor)
    assert small.target_ms <= ms[gain.argmax()] < (np.exp(gain) * ms).sum()
    assert mean_per_ms(small, log_p) == 0
    certain = [np.where(np.arange(len(p)) == 0, 0.0, -np.inf) for p in log_p]
    assert mean_per_ms(Budget(2 * ms.max(), TINY, predictor), certain) == 0


def test_decoding_within_nothing_gives_the_fastest():
    predictor = fitted(networks=10)
    uniform = [np.zeros(len(d.candidates)) for d in TINY.decisions]
    assert most_probable_within(Budget(1e-9, TINY, predictor), uniform) == predictor.extremes(TINY)[0]


def test_decoding_counts_a_repeated_decision_each_time_it_stands():
    from hwnas.space import SearchSpace
    from hwnas.specs.conv import Conv
    from hwnas.specs.head import Head
    from hwnas.specs.mbconv import MBConv

    cell = OneOf("cell", (MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 6)))
    space = SearchSpace("shared", (Conv(3, 8), cell, cell, Head(8, 8, 2)), (3, 16, 16))
    predictor = fit(made_table(space))
    both_large = predictor.predict(space.decode([1])).high_ms
    preferred = [np.log([0.1, 0.9])]
    for budget_ms, choice in ((both_large * 1.001, 1), (both_large * 0.999, 0)):
        found = most_probable_within(Budget(budget_ms, space, predictor), preferred)
        assert space.indices(found) == (choice,)


def test_the_multiplier_drives_the_expected_latency_to_the_budget():
    """Dual ascent on logits alone, with nothing but latency in the loss: from the mean of the space to the target."""
    predictor = fitted(networks=10)
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(TINY))
    budget = Budget(fastest + 0.25 * (slowest - fastest), TINY, predictor)
    multiplier = Multiplier()
    reward = [torch.as_tensor(c / c.max()) for c in predictor.decision_costs(TINY)[1]]  # accuracy likes slow blocks
    logits = [torch.zeros(len(d.candidates), dtype=torch.float64, requires_grad=True) for d in TINY.decisions]
    optimizer = torch.optim.Adam(logits, lr=0.05)
    for _ in range(400):
        probabilities = [torch.softmax(x, 0) for x in logits]
        penalty, expected_ms = multiplier.penalty(budget, probabilities)
        loss = penalty - sum((p * r).sum() for p, r in zip(probabilities, reward, strict=True)) * 0.1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        multiplier.update(budget, expected_ms)
    assert expected_ms == pytest.approx(budget.target_ms, rel=0.1)
    assert multiplier.value > 0


def test_a_predictor_of_the_first_format_is_read(tmp_path):
    table = made_table()
    card = dict.fromkeys(("mape", "hit5", "hit10", "spearman", "noise_floor"))
    blocks = [
        {"spec": s.to_json(), "input_shape": shape, "ms": row.median_ms} for (s, shape), row in table.blocks.items()
    ]
    old = {
        "format": "hwnas.additive-predictor/1",
        "calibration": {"scale": 0.9, "per_block_ms": 0.01, "bias_ms": 0.2},
        "half_width": 0.05,
        "card": card | {"predictor": "calibrated block sum", "n_blocks": 20, "n_networks": 30, "protocol": ""},
        "blocks": blocks,
    }
    (tmp_path / "predictor.json").write_text(json.dumps(old))
    predictor = AdditivePredictor.load(tmp_path / "predictor.json")
    architecture = TINY.decode([0] * 7)
    placed = [b for b in architecture.placed_blocks() if not b[0].is_identity]
    expected_ms = 0.2 + sum(0.9 * table.block_ms(*b) + 0.01 for b in placed)
    prediction = predictor.predict(architecture)
    assert prediction.ms == pytest.approx(expected_ms)
    assert prediction.high_ms == pytest.approx(1.05 * expected_ms)


def test_blocks_that_were_not_measured_are_estimated_and_say_so():
    table = made_table(networks=30, noise=0.01)
    missing = [b for b in TINY.distinct_blocks() if b[0].kind == "mbconv" and b[0].kernel == 5][:3]
    for block in missing:
        del table.blocks[block]
    table.networks = {a: y for a, y in table.networks.items() if not set(missing) & set(a.placed_blocks())}
    predictor = fit(table, TINY)
    samples = [TINY.sample(random.Random(seed)) for seed in range(40)]
    assert [predictor.predict(a).estimated for a in samples] == [holds(a, missing) for a in samples]
    held = next(a for a in samples if holds(a, missing))
    vague = replace(predictor.terms, estimated=dict.fromkeys(missing, 0.5), _remembered={})
    wider = AdditivePredictor(vague, predictor.weights, predictor.uncertainty, predictor.card).predict(held)
    assert wider.ms == predictor.predict(held).ms
    assert wider.high_ms > predictor.predict(held).high_ms


def holds(architecture, blocks) -> bool:
    return bool(set(blocks) & set(architecture.placed_blocks()))


def test_whatever_stops_the_first_writing_of_a_table_it_can_be_read(tmp_path, monkeypatch):
    table, written = made_table(networks=5), []
    real = table_module.write_atomically

    def stopped(path, write):
        if len(written) == 1:
            raise HwnasError("No space left on device")
        written.append(path)
        real(path, write)

    monkeypatch.setattr(table_module, "write_atomically", stopped)
    with pytest.raises(HwnasError, match="No space"):
        table.save(tmp_path)
    monkeypatch.undo()
    assert (LatencyTable.load(tmp_path).blocks, LatencyTable.load(tmp_path).networks) == (table.blocks, {})
    table.save(tmp_path)
    assert LatencyTable.load(tmp_path).networks == table.networks
