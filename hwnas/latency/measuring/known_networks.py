"""Measuring the known networks on a device: what one would pick without a search, in a table of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device
from hwnas.latency.measuring.table_campaign import TABLES_FOLDER, SpaceTable, TableCampaign
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.tables.table import BLOCKS_FILE, LatencyTable
from hwnas.networks import usual_networks
from hwnas.networks.scaling import ScaledNetwork
from hwnas.runtimes import Runtime
from hwnas.space import Architecture

KNOWN_FOLDER = "known"
"""Beside a table of blocks, which no predictor is to be fitted to together with these networks."""


@dataclass(frozen=True)
class KnownTable:
    """The latencies of the known networks on a device, and why some could not be measured."""

    measured: SpaceTable
    networks: list[ScaledNetwork]
    """From the fastest to the slowest."""
    failures: dict[str, str]
    """Reasons, by the network as ``mobilenet-v2 0.5 at 96 px``."""

    def __repr__(self) -> str:
        return f"KnownTable({len(self.networks)} networks, {len(self.failures)} failed, {self.measured!r})"


Key = tuple[str, float, int]
"""Name, width and resolution of a known network."""


def known_at(resolutions: Sequence[int], num_classes: int) -> dict[Key, Architecture]:
    """The known networks at their usual widths, at each resolution that they take. Raises UsageError as `get_network`.

    Args:
        resolutions: sides of the square input image in pixels.
        num_classes: outputs of the classifier.
    """
    return {
        (name, width, resolution): network
        for resolution in dict.fromkeys(resolutions)
        for (name, width), network in usual_networks(resolution, num_classes).items()
    }


def measure_known(
    wanted: Mapping[Key, Architecture],
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    tables: Path | str = TABLES_FOLDER,
    progress: Callable[[CampaignProgress], None] | None = None,
    also: Sequence[Architecture] = (),
    precision: str = USUAL_PRECISION,
) -> KnownTable:
    """Measure known networks: the table in ``tables/DEVICE/RUNTIME/known``, or that of another precision.

    A campaign that was stopped goes on, and nothing is measured twice.

    Args:
        wanted: from `known_at`.
        device, runtime, tables, progress, precision: as for `hwnas.measure`.
        also: further networks that no predictor is to be fitted to.

    Raises as `hwnas.measure`, but for models that cannot be measured, which are named in the result.
    """
    with TableCampaign.begin(device, runtime, tables, progress, part=KNOWN_FOLDER, precision=precision) as campaign:
        failed = campaign.measure_most([], [*wanted.values(), *also])
    measured = campaign.result
    reasons = {told(key): failed[network.digest] for key, network in wanted.items() if network.digest in failed}
    return KnownTable(measured, networks_in(measured.table, wanted), reasons)


def known_table(table: Path | str) -> LatencyTable:
    """The table of known networks beside a table: empty if none was measured. Raises HwnasError if it is damaged."""
    folder = Path(table) / KNOWN_FOLDER
    return LatencyTable.load(folder) if (folder / BLOCKS_FILE).is_file() else LatencyTable()


def told(key: Key) -> str:
    """A known network for people: ``mobilenet-v2 0.5 at 96 px``."""
    name, width, resolution = key
    return f"{name} {width:g} at {resolution} px"


def networks_in(table: LatencyTable, wanted: Mapping[Key, Architecture]) -> list[ScaledNetwork]:
    """Those of some known networks that a table holds, from the fastest to the slowest."""
    found = [
        ScaledNetwork(*key, table.networks[network].median_ms, network)
        for key, network in wanted.items()
        if network in table.networks
    ]
    return sorted(found, key=lambda each: each.ms)
