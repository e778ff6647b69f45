"""Where results go: JSON to stdout for programs; tables and progress go to stderr, by `hwnas.report.console`."""

from __future__ import annotations

import json
from typing import Any


def print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))
