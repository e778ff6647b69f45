"""Clusters and the words for them, on the chips that device files come with and on odd ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.devices.cores import clusters, core_mask, core_ranges, resolve_cores
from hwnas.devices.device import load_device
from hwnas.errors import HwnasError
from hwnas.transports.base import Core, Facts

NOTHING_KNOWN = Facts(*[None] * 9, cores=(), memory_kb=None)


def chip(*kinds: tuple[int, int | None] | tuple[int, int | None, int | None]) -> Facts:
    """A device with so many cores of each kind: count, kHz, capacity."""
    cores: list[Core] = []
    for count, khz, *capacity in kinds:
        first = len(cores)
        cores += [Core(first + i, khz, capacity[0] if capacity else None, online=True) for i in range(count)]
    return replace(NOTHING_KNOWN, cores=tuple(cores))


PIXEL_1 = chip((2, 1_593_600), (2, 2_150_400))
PIXEL_4 = chip((4, 1_785_600), (3, 2_419_200), (1, 2_841_600))
PIXEL_6 = chip((4, 1_803_000), (2, 2_253_000), (2, 2_802_000))
PIXEL_8 = chip((4, 1_704_000), (4, 2_367_000), (1, 2_914_000))
FOUR_EQUAL = chip((4, 1_800_000, 1024))


@pytest.mark.parametrize(
    ("facts", "prime", "big", "little"),
    [
        (PIXEL_1, (2, 3), (2, 3), (0, 1)),
        (PIXEL_4, (7,), (4, 5, 6), (0, 1, 2, 3)),
        (PIXEL_6, (6, 7), (6, 7), (0, 1, 2, 3)),
        (PIXEL_8, (8,), (4, 5, 6, 7), (0, 1, 2, 3)),
        (FOUR_EQUAL, (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)),
        (chip((1, 1_000_000), (1, 2_000_000)), (1,), (1,), (0,)),
        (chip((4, 1_800_000), (1, 2_400_000), (1, 2_800_000)), (5,), (4, 5), (0, 1, 2, 3)),
    ],
)
def test_words_on_known_chips(facts, prime, big, little):
    assert resolve_cores("prime", facts) == prime
    assert resolve_cores("big", facts) == big
    assert resolve_cores("little", facts) == little
    assert resolve_cores("any", facts) == "any"


@pytest.mark.parametrize(
    ("name", "facts", "mask"),
    [("pixel-1", PIXEL_1, "8"), ("pixel-4", PIXEL_4, "70"), ("pixel-6", PIXEL_6, "c0"), ("pixel-8", PIXEL_8, "f0")],
)
def test_device_files_name_cores_of_their_chip_and_the_masks_of_the_literature(name, facts, mask):
    cores = resolve_cores(load_device(name).cores, facts)
    assert core_mask(cores) == mask
    assert set(cores) <= set(resolve_cores("big", facts))


def test_capacity_decides_where_a_little_core_has_the_higher_clock():
    facts = chip((4, 2_000_000, 380), (2, 1_900_000, 1024))
    assert resolve_cores("big", facts) == (4, 5)
    assert [kind.cores for kind in clusters(facts)] == [(0, 1, 2, 3), (4, 5)]


def test_cores_that_are_switched_off_are_not_used():
    off = tuple(replace(core, online=core.number != 7, max_khz=None) for core in PIXEL_4.cores[7:])
    facts = replace(PIXEL_4, cores=PIXEL_4.cores[:7] + off)
    assert resolve_cores("prime", facts) == (4, 5, 6)
    with pytest.raises(HwnasError, match=r"names the cores 7, but the device can run on 0-6 only now"):
        resolve_cores((7,), facts)


def test_unknown_speeds_are_named_with_the_cure():
    facts = chip((4, None), (4, 2_000_000))
    assert clusters(facts) == ()
    with pytest.raises(HwnasError, match=r'which are "big"; name them .* by number, .* \(it has 0-7\).*cores = "any"'):
        resolve_cores("big", facts)
    with pytest.raises(HwnasError, match='which are "prime"'):
        resolve_cores("prime", NOTHING_KNOWN)


def test_numbers_are_checked_where_the_cores_are_known():
    assert resolve_cores((2, 3), PIXEL_1) == (2, 3)
    assert resolve_cores((2, 3), NOTHING_KNOWN) == (2, 3)
    with pytest.raises(HwnasError, match=r"names the cores 3-4, but the device can run on 0-3"):
        resolve_cores((3, 4), PIXEL_1)


def test_shown_for_people():
    assert [str(kind) for kind in clusters(PIXEL_4)] == ["0-3 (1.79 GHz)", "4-6 (2.42 GHz)", "7 (2.84 GHz)"]
    assert core_ranges([6, 0, 1, 2, 4]) == "0-2, 4, 6"
    assert core_ranges([]) == ""


@given(st.sets(st.integers(0, 40), min_size=1))
def test_masks_and_ranges_hold_exactly_these_cores(cores):
    mask = int(core_mask([*cores]), 16)
    assert {core for core in range(64) if mask >> core & 1} == cores
    spans = [part.split("-") for part in core_ranges([*cores]).split(", ")]
    assert {core for span in spans for core in range(int(span[0]), int(span[-1]) + 1)} == cores


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([10**6, 2 * 10**6, 3 * 10**6])), min_size=1, max_size=5))
def test_words_always_mean_cores_of_the_chip_and_big_is_never_slower_than_little(kinds):
    facts = chip(*kinds)
    speed = {core.number: core.max_khz for core in facts.cores}
    chosen = {word: resolve_cores(word, facts) for word in ("prime", "big", "little")}
    assert all(cores and set(cores) <= set(speed) for cores in chosen.values())
    fastest = {word: max(speed[core] for core in cores) for word, cores in chosen.items()}
    assert fastest["prime"] == max(speed.values()) >= fastest["big"] >= fastest["little"] == min(speed.values())
