"""Which of a device's tables a search means when none is named: ``latency_models/DEVICE/*``, or one that is shipped."""

from __future__ import annotations

from pathlib import Path

from hwnas.devices.connection import why_not_at_hand
from hwnas.devices.device import Device, comes_with_hwnas
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.tables.precision import USUAL_PRECISION, table_name
from hwnas.latency.tables.shipped import shipped_table, shipped_tables
from hwnas.latency.tables.table import BLOCKS_FILE, LatencyTable
from hwnas.space import SearchSpace


def find_table(
    tables: Path | str,
    device: str,
    runtime: str,
    space: SearchSpace,
    precision: str = USUAL_PRECISION,
    shipped: bool = False,
    typed: str = "",
) -> Path:
    """The folder of a device's measured table, or of the one published table that has all blocks of the space.

    Args:
        tables: the folder that tables are kept in.
        device: as its tables are called.
        runtime: as the measured table is called.
        space: at the size it is published at.
        shipped: whether a table that comes with hwnas serves where there is neither.
        precision: of the model files that were measured.
        typed: as the device was named, for the message: by the path of its file, perhaps.

    Raises:
        UsageError: several published tables have them.
        HwnasError: there is none.
    """
    folder, name = Path(tables) / device, table_name(runtime, precision)
    if measured_table(tables, device, name):
        return folder / name
    if published := published_table(tables, device, space):
        return published
    if shipped and precision == USUAL_PRECISION and (model := shipped_table(device, space.name)):
        return model.folder
    found = sorted(path.parent.name for path in folder.glob(f"*/{BLOCKS_FILE}"))
    held = f" (there are {', '.join(found)})" if found else ""
    named, option = typed or device, "" if precision == USUAL_PRECISION else f" --precision {precision}"
    raise HwnasError(
        f"{folder} holds no table {name}, and no published one for space {space.name!r}{held}. Measure with "
        f"`hwnas measure --space {space.name} --device {named} --runtime {runtime}{option}`, take a published table "
        f"with `hwnas measure --import FILE --device {named}`, or name another with --latency."
    )


def measured_table(tables: Path | str, device: str, name: str) -> Path | None:
    """The folder of a device's measured table, by its `table_name`; None if there is none."""
    folder = Path(tables) / device / name
    return folder if (folder / BLOCKS_FILE).is_file() else None


def shipped_instead(device: Device, runtime: str, tables: Path | str) -> str | None:
    """Why a device is to be priced with a table that comes with hwnas; None: it is to be measured.

    A person's own device file and own measurements come first, and so does a phone that answers.
    """
    own = measured_table(tables, device.name, runtime) is not None or not comes_with_hwnas(device)
    return None if own or not shipped_tables(device.name) else why_not_at_hand(device)


def published_table(tables: Path | str, device: str, space: SearchSpace) -> Path | None:
    """The folder of the one published table of a device that has all blocks of a space; None if there is none.

    Raises UsageError if there are several.
    """
    folder = Path(tables) / device
    found = {path.parent: LatencyTable.load(path.parent) for path in sorted(folder.glob(f"*/{BLOCKS_FILE}"))}
    published = [path for path, table in found.items() if table.publication and not table.missing(space)]
    if len(published) > 1:
        named = ", ".join(map(str, published))
        raise UsageError(
            f"{device} has several published tables for space {space.name!r}: {named}; name one with --latency."
        )
    return published[0] if published else None
