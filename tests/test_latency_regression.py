"""Blocks that were never measured: made tables of known answer, and the public table of three phones."""

import json
import random

import numpy as np
import pandas as pd
import pytest

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.features import COSTS, block_features
from hwnas.latency.fitting.fit import fit
from hwnas.latency.fitting.regression import BlockRegression, informative_blocks
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from tests.weekly import weekly_except

BLOCKS = [
    (MBConv(c, out, kernel, expand, stride), (c, side, side))
    for c in (8, 16, 24)
    for out in (16, 24, 32)
    for kernel in (3, 5)
    for expand in (1, 3, 6)
    for stride in (1, 2)
    for side in (8, 14, 28)
]


def made_ms(block):
    """A machine of 5 G MACs/s that does depthwise at a third of that, moves 8 GB/s, and needs 4 us per operator."""
    costs = dict(zip(COSTS, block_features(*block).costs, strict=True))
    macs = (costs["macs"] + 2 * costs["macs_depthwise"]) / 5e6
    return macs + (costs["bytes_read"] + costs["bytes_written"]) / 8e6 + 4e-3 * costs["operators"]


def made_table(n, noise=0.02, seed=0):
    rng = random.Random(seed)
    return {block: made_ms(block) * (1 + rng.gauss(0, noise)) for block in rng.sample(BLOCKS, n)}


def mape(regression, blocks, ms):
    return 100 * float(np.abs(regression.predict_many(blocks)[0] / ms - 1).mean())


def test_a_machine_whose_costs_add_up_is_learned_from_20_blocks():
    table = made_table(20)
    unseen = [block for block in BLOCKS if block not in table]
    assert mape(BlockRegression.fit(table), unseen, np.array([made_ms(b) for b in unseen])) < 3


def test_another_kind_of_block_is_priced_within_its_interval_of_doubt():
    """Dense 3x3 convolutions from inverted residuals: off, but not absurd, and known to be uncertain."""
    regression = BlockRegression.fit(made_table(60))
    conv = (Conv(16, 32, 3), (16, 28, 28))
    ms, relative_std = regression.predict(*conv)
    seen = np.median(regression.predict_many(BLOCKS[::10])[1])
    assert relative_std > 2 * seen
    assert abs(made_ms(conv) / ms - 1) < 3 * relative_std


def test_one_block_or_many_make_no_difference_and_an_identity_is_free():
    regression = BlockRegression.fit(made_table(30))
    blocks = [BLOCKS[3], (Skip(16, 16), (16, 8, 8)), BLOCKS[50]]
    ms, relative_std = regression.predict_many(blocks)
    assert (ms[1], relative_std[1]) == regression.predict(*blocks[1]) == (0, 0)
    for i in (0, 2):
        assert regression.predict(*blocks[i]) == pytest.approx((ms[i], relative_std[i]), rel=1e-9)


def test_identities_in_a_table_teach_nothing():
    table = made_table(30)
    with_identity = table | {(Skip(8, 8), (8, 8, 8)): 0.0}
    assert BlockRegression.fit(with_identity).predict(*BLOCKS[0]) == BlockRegression.fit(table).predict(*BLOCKS[0])


def test_it_survives_saving_and_is_plain_json():
    regression = BlockRegression.fit(made_table(30))
    loaded = BlockRegression.from_json(json.loads(json.dumps(regression.to_json())))
    for x, y in zip(regression.predict_many(BLOCKS[::7]), loaded.predict_many(BLOCKS[::7]), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("damage", [{"format": "other"}, {"columns": {}}, {"model": {}}, {"centre": "far"}])
def test_a_damaged_or_older_regression_says_how_to_make_it_again(damage):
    data = BlockRegression.fit(made_table(10)).to_json() | damage
    with pytest.raises(HwnasError, match="hwnas fit"):
        BlockRegression.from_json(data)
    with pytest.raises(HwnasError, match="hwnas fit"):
        BlockRegression.from_json([])


def test_too_few_blocks_are_refused():
    with pytest.raises(HwnasError, match="2 measured"):
        BlockRegression.fit(made_table(2))
    with pytest.raises(HwnasError, match="0 measured"):
        BlockRegression.fit({})


def test_every_block_of_a_space_is_priced():
    space = get_space("tiny")
    blocks = space.distinct_blocks()
    table = {block: made_ms(block) for block in random.Random(0).sample(blocks, 12)}
    assert mape(BlockRegression.fit(table), blocks, np.array([made_ms(b) for b in blocks])) < 25


def test_informative_blocks_are_distinct_and_not_measured_yet():
    chosen = informative_blocks(BLOCKS, 12, measured=BLOCKS[:3], seed=1)
    assert len(set(chosen)) == 12 and not {0, 1, 2} & set(chosen)
    assert chosen == informative_blocks(BLOCKS, 12, measured=BLOCKS[:3], seed=1)


def test_nothing_open_is_nothing_chosen():
    assert informative_blocks(BLOCKS[:2], 5, BLOCKS[:2]) == []
    assert informative_blocks([], 5) == []


@pytest.fixture(scope="module")
def phones(shared_data):
    frame = pd.read_csv(shared_data / "latency" / "nnmeter_block_lut.csv.gz").sample(600, random_state=0)
    blocks = [
        (MBConv(r.cin, r.cout, r.kernel, r.expand, r.stride, r.act, 0.25 * r.se), (r.cin, r.hw, r.hw))
        for r in frame.itertuples()
    ]
    return blocks, frame


@pytest.mark.parametrize(
    ("column", "train", "most_mape"),
    weekly_except(
        [("xiaomi11_ms", 50, 4.5)],
        [(column, *each) for each in [(50, 4.5), (300, 2.5)] for column in ("pixel1_ms", "pixel4_ms", "xiaomi11_ms")],
    ),
)
def test_real_phones(phones, column, train, most_mape):
    """A plain linear model has 4.2 to 5.1 % here, whatever the number of rows."""
    blocks, frame = phones
    ms = frame[column].to_numpy()
    regression = BlockRegression.fit(dict(zip(blocks[:train], ms[:train], strict=True)))
    predicted, relative_std = regression.predict_many(blocks[train:])
    off = np.abs(ms[train:] / predicted - 1)
    assert 100 * off.mean() < most_mape
    assert 0.8 < (off <= 1.645 * relative_std).mean() < 0.99


def test_chosen_blocks_of_a_real_phone_teach_more_than_random_ones(phones):
    blocks, frame = phones
    ms = frame["pixel1_ms"].to_numpy()
    by_choice, by_chance = [], []
    for seed in range(4):
        pool = np.random.default_rng(seed).permutation(len(blocks))[:300]
        chosen = [pool[i] for i in informative_blocks([blocks[i] for i in pool], 20, seed=seed)]
        for errors, rows in ((by_choice, chosen), (by_chance, pool[:20])):
            regression = BlockRegression.fit({blocks[i]: ms[i] for i in rows})
            errors.append(mape(regression, blocks, ms))
    assert np.mean(by_choice) < np.mean(by_chance)


@pytest.mark.parametrize("times", [6, 300])
def test_one_stray_block_leaves_a_predictor_that_can_be_saved_and_says_how_little_it_knows(tmp_path, times):
    """A block of `tiny` that took many times as long as it would again; a fifth of the blocks were not measured."""
    space, random_ms = get_space("tiny", resolution=32), np.random.default_rng(0)
    blocks = space.distinct_blocks()
    ms = [(0.003 + spec.macs(shape) / 5e7) * np.exp(0.03 * random_ms.standard_normal()) for spec, shape in blocks]
    ms[3] *= times
    made = {block: Latency(each, each, each, 1, 0.0) for block, each in zip(blocks[:20], ms, strict=False)}
    predictor = fit(LatencyTable(made), space)
    assert 0.2 < predictor.half_width < 2
    predictor.save(tmp_path / "predictor.json")
    assert AdditivePredictor.load(tmp_path / "predictor.json").half_width == predictor.half_width
    regression = BlockRegression.fit({block: latency.median_ms for block, latency in made.items()})
    again = BlockRegression.from_json(regression.to_json())
    assert again.predict(*blocks[-1]) == regression.predict(*blocks[-1])
