"""The search spaces by name. Adding one is a module with a function and a line in `SPACES`."""

from __future__ import annotations

from collections.abc import Callable

from hwnas.errors import UsageError, unknown_name
from hwnas.space import SearchSpace
from hwnas.spaces.edgetpu import edgetpu
from hwnas.spaces.fbnet import fbnet
from hwnas.spaces.lite import lite
from hwnas.spaces.nas_bench_201 import nas_bench_201
from hwnas.spaces.nas_bench_macro import nas_bench_macro
from hwnas.spaces.shufflenet import shufflenet
from hwnas.spaces.single_path import single_path
from hwnas.spaces.single_path_se import single_path_se
from hwnas.spaces.tiny import tiny

SPACES: dict[str, Callable[..., SearchSpace]] = {
    "edgetpu": edgetpu,
    "fbnet": fbnet,
    "lite": lite,
    "nas-bench-201": nas_bench_201,
    "nas-bench-macro": nas_bench_macro,
    "shufflenet": shufflenet,
    "single-path": single_path,
    "single-path-se": single_path_se,
    "tiny": tiny,
}


def get_space(
    name: str, resolution: int | None = None, num_classes: int | None = None, width: float | None = None
) -> SearchSpace:
    """A search space by name.

    Args:
        name: one of `SPACES`.
        resolution: side of the square input image in pixels (default: the space's own).
        num_classes: outputs of the classifier.
        width: multiplier of every channel count, rounded to multiples of 8.

    Raises:
        UsageError: unknown name, or a value out of range.
    """
    if name not in SPACES:
        raise unknown_name("space", name, list(SPACES))
    if resolution is not None and not 8 <= resolution <= 1024:
        raise UsageError(f"the resolution must be between 8 and 1024 pixels, not {resolution}.")
    if num_classes is not None and num_classes < 2:
        raise UsageError(f"a classifier needs 2 classes or more, not {num_classes}.")
    if width is not None and not 0.05 <= width <= 8:
        raise UsageError(f"the width multiplier must be between 0.05 and 8, not {width}.")
    given = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SPACES[name](**{key: value for key, value in given.items() if value is not None})
