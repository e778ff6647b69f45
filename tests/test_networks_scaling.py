"""Known networks scaled to a budget: as near as their steps of width allow, in few measurements."""

import pytest

from hwnas.errors import UsageError
from hwnas.networks import get_network
from hwnas.networks.scaling import MOST_MEASUREMENTS, NEAR, WIDTHS, scaled_to
from hwnas.space import Architecture
from tests.weekly import weekly_except

RESOLUTIONS = [32, 96, 160]


class Device:
    """A device whose latencies follow from a formula, and that counts how often it is asked."""

    def __init__(self, slope: float = 1.0, jump_ms: float = 0.0) -> None:
        self.slope, self.jump_ms, self.asked = slope, jump_ms, 0

    def ms(self, network: Architecture) -> float:
        jump_ms = self.jump_ms if network.macs > 20e6 else 0.0  # as where caches end
        return 0.03 + (network.macs / 2e8) ** self.slope + jump_ms

    def measured_ms(self, network: Architecture) -> float:
        self.asked += 1
        return self.ms(network)


def widest_within(name: str, budget_ms: float, device: Device, resolution: int) -> float | None:
    """The ms of the slowest network within the budget, of all widths."""
    all_ms = [device.ms(get_network(name, width, resolution, 10)) for width in WIDTHS]
    return max((ms for ms in all_ms if ms <= budget_ms), default=None)


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "plain-cnn"])
@pytest.mark.parametrize("device", [Device(), Device(0.6), Device(1.3), Device(jump_ms=0.2)], ids=lambda d: d.slope)
@pytest.mark.parametrize("budget_ms", weekly_except([0.06], [0.06, 0.3]))
def test_each_resolution_gets_the_widest_network_within_the_budget_or_one_nearly_as_slow(name, device, budget_ms):
    device.asked = 0
    found = {network.resolution: network for network in scaled_to(name, budget_ms, device.measured_ms, RESOLUTIONS, 10)}
    for resolution in RESOLUTIONS:
        best_ms = widest_within(name, budget_ms, device, resolution)
        if best_ms is None:
            assert resolution not in found
            continue
        network = found[resolution]
        assert network.ms == device.ms(network.architecture) <= budget_ms
        assert network.ms >= NEAR * best_ms
        assert network.architecture == get_network(name, network.width, resolution, 10)
        assert network.architecture.code == f"{network.width:g}x{resolution}"
    assert device.asked <= MOST_MEASUREMENTS * len(RESOLUTIONS)


def test_it_takes_two_or_three_measurements_a_resolution():
    device = Device()
    assert len(scaled_to("mobilenet-v2", 0.2, device.measured_ms, RESOLUTIONS, 10)) == len(RESOLUTIONS)
    assert device.asked <= 3 * len(RESOLUTIONS)


@pytest.mark.parametrize("budget_ms", [0.04, 0.05, 0.07])
def test_a_width_is_the_roundest_of_those_that_give_a_network(budget_ms):
    (found,) = scaled_to("plain-cnn", budget_ms, Device().measured_ms, [96], 10)
    same = [width for width in WIDTHS if get_network("plain-cnn", width, 96, 10) == found.architecture]
    assert len(same) > 1
    assert found.width == min(same, key=lambda width: (len(f"{width:g}"), width))


def test_only_the_widths_that_a_paper_has_are_tried():
    found = scaled_to("shufflenet-v2", 0.3, Device().measured_ms, [96], 10)
    assert [network.width for network in found] == [1.0]


def test_a_resolution_without_a_network_is_left_out():
    assert scaled_to("mobilenet-v2", 0.02, Device().measured_ms, RESOLUTIONS, 10) == []
    found = scaled_to("squeezenet-1.0", 10.0, Device().measured_ms, [8, 96], 10)  # 8 px are smaller than its windows
    assert [(network.resolution, network.width) for network in found] == [(96, 2.0)]
    assert found[0].to_json() == {"network": "squeezenet-1.0", "width": 2.0, "resolution": 96, "ms": found[0].ms}


@pytest.mark.parametrize(
    ("name", "budget_ms", "resolution", "says"),
    [("mobilenet", 1.0, 96, "known: "), ("mobilenet-v2", 0.0, 96, "budget"), ("mobilenet-v2", 1.0, 4, "resolution")],
)
def test_what_cannot_be_scaled_is_refused(name, budget_ms, resolution, says):
    with pytest.raises(UsageError, match=says):
        scaled_to(name, budget_ms, Device().measured_ms, [resolution], 10)
