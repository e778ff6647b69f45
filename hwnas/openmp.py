"""OpenMP's threads, which torch trains with: how long they look for work before they sleep. Read once, with torch.

300,000 rounds are GNU OpenMP's own: milliseconds, which on a busy machine are taken from the thread that is waited for.
A search beside other programs made 0.14 steps a second with two threads, and 18 with one (docs/methods.md). No result
changes.
"""

from __future__ import annotations

import os

SPINS = "5000"

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = SPINS
