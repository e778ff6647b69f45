"""The search spaces by name. Adding one is a module with a function and a line in `SPACES`.

A function takes ``resolution``, ``num_classes`` and ``width``, each with a default, and perhaps options of its own.
Options, help texts and conformance tests are made from this list; the table of docs/choosing.md is compared with it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from hwnas.errors import UsageError, unknown_name
from hwnas.registered import Registered
from hwnas.spaces.options import checked_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwnas.space import SearchSpace

SPACES: Registered[Callable[..., SearchSpace]] = Registered(
    {
        "darts": "hwnas.spaces.darts:darts",
        "edgetpu": "hwnas.spaces.edgetpu:edgetpu",
        "fbnet": "hwnas.spaces.fbnet:fbnet",
        "lite": "hwnas.spaces.lite:lite",
        "lite-5": "hwnas.spaces.lite:lite_5",
        "nas-bench-201": "hwnas.spaces.nas_bench_201:nas_bench_201",
        "nas-bench-macro": "hwnas.spaces.nas_bench_macro:nas_bench_macro",
        "shufflenet": "hwnas.spaces.shufflenet:shufflenet",
        "single-path": "hwnas.spaces.single_path:single_path",
        "single-path-se": "hwnas.spaces.single_path_se:single_path_se",
        "tiny": "hwnas.spaces.tiny:tiny",
    }
)
"""Every space by the name people type: the function that makes it."""


def get_space(
    name: str,
    resolution: int | None = None,
    num_classes: int | None = None,
    width: float | None = None,
    **own: Any,
) -> SearchSpace:
    """A search space by name.

    Args:
        name: one of `SPACES`.
        resolution: side of the square input image in pixels (default: the space's own).
        num_classes: outputs of the classifier.
        width: multiplier of every channel count, rounded to multiples of 8.
        own: options that this space alone has, such as ``cells`` and ``channels`` of ``darts``.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    if name not in SPACES:
        raise unknown_name("space", name, list(SPACES))
    resolution, num_classes, width = checked_options(resolution, num_classes, width)
    function = SPACES[name]
    unknown = sorted(own.keys() - signature(function).parameters.keys())
    if unknown:
        raise UsageError(
            f"space {name!r} has no option {unknown[0]!r}; it has {', '.join(signature(function).parameters)}."
        )
    given = {"resolution": resolution, "num_classes": num_classes, "width": width, **own}
    space = function(**{option: value for option, value in given.items() if value is not None})
    return replace(space, make=partial(get_space, name))
