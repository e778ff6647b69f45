"""Design: from a folder of images and a budget in ms to model files that were measured to meet it.

measure -> fit -> search under the budget -> export -> measure again -> within or over
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from hwnas.designer.auto_precision import design_best
from hwnas.designer.config import DesignConfig, DesignProgress, default_folder
from hwnas.designer.duration import told
from hwnas.designer.prepared import PreparedDesign
from hwnas.designer.result import DesignResult
from hwnas.latency.tables.precision import AUTO_PRECISION
from hwnas.progress import silent
from hwnas.train import distributed
from hwnas.train.compiling import check_can_compile
from hwnas.train.mixed_precision import resolve_amp

LOG = logging.getLogger(__name__)


def design(config: DesignConfig, out: Path | str | None = None, progress: DesignProgress | None = None) -> DesignResult:
    """Design a network for one device and one deadline.

    Repeated with the same configuration and folder, it goes on where it was stopped. With a published latency table
    nothing is measured; where small copies stand for the networks that are priced, no model files are written.
    In several processes, under ``torchrun``, all train one network; the first one measures, exports and writes, and all
    return the same. With the precision ``auto`` there are two designs (`hwnas.designer.auto_precision`).

    Args:
        config: what is wanted.
        out: the run folder; None: a name made of the configuration, in ``runs``.
        progress: told what is going on.

    Raises:
        UsageError: an unknown name or a value out of range.
        HwnasError: infeasible budget, unusable images or table, a device that cannot be reached, a run folder of
            something else, a full disk.
    """
    started = time.perf_counter()
    torch_device = distributed.join(config.torch_device)
    resolve_amp(config.amp, torch_device)  # what cannot be trained with is said first
    if config.compile:
        check_can_compile(torch_device)
    report = progress if progress is not None and distributed.rank() == 0 else silent
    folder = Path(out or default_folder(config))
    if config.precision == AUTO_PRECISION:
        return design_best(config, folder, report, started)
    prepared = PreparedDesign.of(config, folder, report)
    if (seconds := prepared.expected_seconds()) and distributed.rank() == 0:
        LOG.info("%s", told(seconds))
    return prepared.carry_out(report, started)
