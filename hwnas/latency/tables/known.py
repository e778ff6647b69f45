"""Which of a device's tables a search means when none is named: ``latency_models/DEVICE/*``."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.tables.table import BLOCKS_FILE, LatencyTable
from hwnas.space import SearchSpace


def find_table(tables: Path | str, device: str, runtime: str, space: SearchSpace) -> Path:
    """The folder of a device's measured table, or of the one published table that has all blocks of the space.

    Args:
        tables: the folder that tables are kept in.
        device: as its tables are called.
        runtime: as the measured table is called.
        space: at the size it is published at.

    Raises:
        UsageError: several published tables have them.
        HwnasError: there is neither.
    """
    folder = Path(tables) / device
    if (folder / runtime / BLOCKS_FILE).is_file():
        return folder / runtime
    found = {path.parent: LatencyTable.load(path.parent) for path in sorted(folder.glob(f"*/{BLOCKS_FILE}"))}
    published = [path for path, table in found.items() if table.publication and not table.missing(space)]
    if len(published) == 1:
        return published[0]
    if published:
        named = ", ".join(map(str, published))
        raise UsageError(
            f"{device} has several published tables for space {space.name!r}: {named}; name one with --latency."
        )
    held = f" (there are {', '.join(path.name for path in found)})" if found else ""
    raise HwnasError(
        f"{folder} holds no table of {runtime}, and no published one for space {space.name!r}{held}. Measure with "
        f"`hwnas measure --space {space.name} --device {device} --runtime {runtime}`, take a published table with "
        f"`hwnas measure --import FILE --device {device}`, or name another with --latency."
    )
