"""The outcome of a gate, for people and for continuous integration: a table, and JUnit's XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from rich.table import Table
from rich.text import Text

from hwnas.campaign.gate import Gated
from hwnas.files import write_atomically
from hwnas.report.console import key_value_table
from hwnas.text import shown

SUITE = "hwnas gate"
JUNIT_MARK = f'"{SUITE}"'.encode()
"""A mark in every file of `write_junit`."""
COLOURS = {"within": "bold green", "too slow": "bold red", "undecided": "bold yellow", "measured": "bold"}
ADVICE = {
    "undecided": "Noise is too strong to say whether that is within the limit, so the gate passes: allow more time "
    "with --max-s, or raise the limit.",
}
"""By status: what to add to the outcome."""


def explained(gated: Gated) -> str:
    """The outcome in a sentence or two."""
    return " ".join(filter(None, (gated.sentence, ADVICE.get(gated.status))))


def gate_table(gated: Gated, model: Path) -> Table:
    """The outcome, the interval, and how it was measured."""
    identity = gated.conditions.identity
    rows: dict[str, str | Text] = {
        "outcome": Text(gated.status, COLOURS[gated.status]),
        "": explained(gated),
        "measured": f"{gated.ms:.4g} ms; the model beside it {gated.reference_ms:.4g} ms",
        "in": f"{len(gated.rounds)} rounds, {gated.seconds:.0f} s",
        "under": "{runtime} {runtime_version}, threads: {threads}, {cpu}".format(**identity),
    }
    return key_value_table(str(model), rows)


def write_junit(path: Path, model: str, device: str, gated: Gated | None, error: str = "") -> None:
    """Write one test case as the XML that CI systems read; the attributes are those of Jenkins' JUnit schema.

    Args:
        path: a file, which is replaced.
        model: the test case's name.
        device: the test case's class is named for it.
        gated: the outcome; None: there is none, because of `error`.

    Raises HwnasError if it cannot be written.
    """
    name = Path(device).stem if device.endswith(".toml") else device
    failed = gated is not None and gated.status == "too slow"
    seconds = f"{gated.seconds:.3f}" if gated else "0"
    counts = {"tests": "1", "failures": str(int(failed)), "errors": str(int(gated is None)), "time": seconds}
    suites = Element("testsuites", counts)
    suite = SubElement(suites, "testsuite", {"name": SUITE} | counts)
    case = SubElement(
        suite, "testcase", {"classname": shown(f"hwnas.gate.{name}"), "name": shown(model), "time": seconds}
    )
    if gated is None:
        SubElement(case, "error", {"type": "HwnasError", "message": shown(error)}).text = shown(error)
    else:
        told = shown(explained(gated))
        if failed:
            SubElement(case, "failure", {"type": gated.status, "message": told}).text = told
        SubElement(case, "system-out").text = f"{gated.status}: {told}"
    indent(suites)
    write_atomically(path, lambda part: ElementTree(suites).write(part, encoding="utf-8", xml_declaration=True))
