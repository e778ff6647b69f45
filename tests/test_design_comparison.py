"""Which known network is better than the one that was found."""

from pathlib import Path

import pytest

from hwnas.designer.comparison import Rival, better_than


def rival(network: str, val_accuracy: float, val_loss: float) -> Rival:
    return Rival(network, 1.0, 32, 1.0, val_accuracy, val_loss, 0.5, 1000, Path(network))


@pytest.mark.parametrize(
    ("rivals", "better"),
    [
        ([("plain-cnn", 0.88, 0.30)], "plain-cnn"),
        ([("plain-cnn", 0.88, 0.46)], None),  # more images by chance
        ([("plain-cnn", 0.84, 0.30)], None),
        ([("lite0", 0.90, 0.50), ("plain-cnn", 0.88, 0.30)], "plain-cnn"),
        ([("lite0", 0.90, 0.40), ("plain-cnn", 0.88, 0.30)], "lite0"),
        ([], None),
    ],
)
def test_a_known_network_is_better_by_images_and_loss(rivals: list, better: str | None) -> None:
    found = better_than(rival("found", 0.85, 0.45), [rival(*each) for each in rivals])
    assert (found and found.network) == better
