"""TuNAS' linear cost model: recognised, and refused with the reason."""

from __future__ import annotations

from typing import NoReturn

from hwnas.errors import HwnasError
from hwnas.latency.tables.imported.content import Content

EXAMPLE = 'JSON {"bias_ms": 92.1, "kernel_ms": [...]}, which holds no blocks and is refused'


def recognises(content: Content) -> bool:
    """Whether this is such a model."""
    return isinstance(content.data, dict) and {"bias_ms", "kernel_ms"} <= content.data.keys()


def read(content: Content, _device: str | None) -> NoReturn:
    """Raises HwnasError: weights of a regression over whole networks are no latencies of blocks."""
    raise HwnasError(
        f"{content.name} is TuNAS' regression over whole networks: its weights, some of them negative, are a latency "
        "only in their sum with the bias, for its own space. There is no block in it; import a table of blocks."
    )
