"""Hyper-parameters beyond the range in which they mean something are refused where they are given."""

import pytest

from hwnas.errors import UsageError
from hwnas.searches.registry import get_search


@pytest.mark.parametrize(
    ("method", "name", "value", "message"),
    [
        ("dsnas", "clip_norm", 0.0, "clip_norm is a norm above 0 .* not 0"),  # no gradient would be left
        ("cdarts", "clip_norm", -1.0, "not -1"),  # torch would turn gradients round
        ("once-for-all", "lr", -2e-3, "lr is a rate of 0 or more"),
        ("single-path", "weight_decay", float("nan"), "weight_decay is a rate of 0 or more, not nan"),
        ("darts", "alpha_lr", -1.0, "alpha_lr is a rate"),
        ("spos", "label_smoothing", 1.5, "label_smoothing is a share from 0 to 1"),
        ("gdas", "momentum", 1.0, "momentum is a share from 0 to less than 1"),
        ("single-path", "ema", -1.0, "ema is a share"),
        ("dsnas", "alpha_betas", (1.5, 0.9), "alpha_betas are shares from 0 to less than 1, not 1.5, 0.9"),
        ("snas", "first_temperature", 0.0, "the temperature falls"),
    ],
)
def test_what_would_train_nothing_or_the_opposite_is_refused(method, name, value, message):
    with pytest.raises(UsageError, match=message):
        get_search(method).resolve({name: value})


@pytest.mark.parametrize("method", ["dsnas", "once-for-all"])
def test_the_ends_of_the_ranges_and_none_are_taken(method):
    ends = {"clip_norm": None, "label_smoothing": 1.0, "weight_decay": 0.0, "lr_warmup": 0.0}
    assert get_search(method).resolve(ends).clip_norm is None
