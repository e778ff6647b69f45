"""A new device from few samples: made devices of known relation, and three public phones."""

import numpy as np
import pandas as pd
import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.transfer import Transfer, informative_networks
from tests.weekly import weekly_except


def made_devices(n=200, seed=0):
    """Networks of 2 to 50 ms on two devices, and how much they compute."""
    rng = np.random.default_rng(seed)
    macs, traffic = 10 ** rng.uniform(6, 7.5, n), 10 ** rng.uniform(6, 7.5, n)
    known_ms = np.column_stack([macs / 2e6 + traffic / 1e7, macs / 8e6 + traffic / 1.5e6])
    return known_ms, np.column_stack([macs, traffic])


def mape(predicted_ms, ms):
    return 100 * float(np.abs(predicted_ms / ms - 1).mean())


def test_one_ratio_is_found_from_three_networks():
    known_ms, _ = made_devices()
    target_ms = 2.5 * known_ms[:, 0]
    predicted, _ = Transfer.fit(known_ms[:, :1], np.arange(3), target_ms[:3]).predict(known_ms[:, :1])
    assert mape(predicted, target_ms) < 0.5


def test_a_mixture_of_devices_is_found_from_eight_networks():
    known_ms, sizes = made_devices()
    target_ms = 0.3 * known_ms[:, 0] + 0.5 * known_ms[:, 1] + 0.5
    rows = np.array(informative_networks(known_ms, 8, sizes))
    predicted, _ = Transfer.fit(known_ms, rows, target_ms[rows], sizes).predict(known_ms, sizes)
    assert mape(predicted, target_ms) < 2


def test_nine_in_ten_are_within_their_interval():
    inside = []
    for seed in range(8):
        known_ms, sizes = made_devices(seed=seed)
        noise = np.random.default_rng(seed).normal(0, 0.05, len(known_ms))
        target_ms = (0.3 * known_ms[:, 0] + 0.5 * known_ms[:, 1]) * np.exp(noise)
        rows = np.array(informative_networks(known_ms, 15, sizes, seed))
        predicted, std = Transfer.fit(known_ms, rows, target_ms[rows], sizes).predict(known_ms, sizes)
        inside.append(np.abs(target_ms / predicted - 1) <= 1.645 * std)
    assert 0.82 < np.mean(inside) < 0.99


def test_networks_of_the_future_need_no_more_than_known_latencies():
    known_ms, sizes = made_devices()
    target_ms = 0.5 * known_ms.sum(1)
    transfer = Transfer.fit(known_ms, np.arange(12), target_ms[:12], sizes)
    new_ms, new_sizes = made_devices(50, seed=9)
    assert mape(transfer.predict(new_ms, new_sizes)[0], 0.5 * new_ms.sum(1)) < 3


def test_chosen_networks_are_distinct_ordered_and_decided_by_the_candidates():
    known_ms, sizes = made_devices()
    chosen = informative_networks(known_ms, 10, sizes, seed=1)
    assert len(set(chosen)) == 10
    assert chosen == informative_networks(known_ms, 10, sizes, seed=1)
    assert informative_networks(known_ms, 4, sizes, seed=1) == chosen[:4]


def test_fewer_candidates_than_wanted_are_all_chosen():
    known_ms, _ = made_devices(6)
    assert sorted(informative_networks(known_ms, 10)) == list(range(6))


def test_equal_networks_do_no_harm():
    known_ms = np.full((10, 2), 3.0)
    predicted, std = Transfer.fit(known_ms, np.arange(4), np.array([5.0, 5.1, 4.9, 5.0])).predict(known_ms)
    assert predicted == pytest.approx(5.0, rel=0.02) and np.isfinite(std).all()


def test_wrong_shapes_and_values_are_refused():
    known_ms, sizes = made_devices(20)
    transfer = Transfer.fit(known_ms, np.arange(5), known_ms[:5, 0], sizes)
    with pytest.raises(UsageError, match="2 known devices"):
        transfer.predict(known_ms[:, :1], sizes)
    with pytest.raises(UsageError, match="2 known devices"):
        transfer.predict(known_ms)
    with pytest.raises(UsageError, match="positive"):
        transfer.predict(-known_ms, sizes)
    with pytest.raises(UsageError, match="sizes"):
        transfer.predict(known_ms, sizes[:5])
    with pytest.raises(UsageError, match="5 networks were measured"):
        Transfer.fit(known_ms, np.arange(5), known_ms[:4, 0])
    with pytest.raises(HwnasError, match="too few"):
        Transfer.fit(known_ms, np.arange(2), known_ms[:2, 0])


@pytest.mark.parametrize("target", weekly_except(["a03s"], ["s10", "mi8se", "a03s"]))
def test_real_phones_from_ten_networks(shared_data, target):
    """Against the plain linear map of the other two phones on as many networks at random; means over five seeds."""
    frame = pd.read_csv(shared_data / "latency" / "qed_usc_nas_tflite.csv.gz")
    ms = {phone: frame[f"{phone}_1large_float_mean_us"].to_numpy() / 1e3 for phone in ("s10", "mi8se", "a03s")}
    target_ms = ms.pop(target)
    known_ms, sizes = np.column_stack(list(ms.values())), frame[["flops", "size_bytes"]].to_numpy(float)
    ours, plain = [], []
    for seed in range(5):
        pool = np.random.default_rng(seed).permutation(len(frame))[:500]
        rows = pool[informative_networks(known_ms[pool], 10, sizes[pool], seed)]
        predicted = Transfer.fit(known_ms, rows, target_ms[rows], sizes).predict(known_ms, sizes)[0]
        ours.append(mape(np.delete(predicted, rows), np.delete(target_ms, rows)))
        linear, rows = np.column_stack([known_ms, np.ones(len(known_ms))]), pool[:10]
        weights = np.linalg.lstsq(linear[rows] / target_ms[rows, None], np.ones(10), rcond=None)[0]
        plain.append(mape(np.delete(linear @ weights, rows), np.delete(target_ms, rows)))
    assert np.mean(ours) < 0.8 * np.mean(plain)
