"""The page of a run: one HTML file that needs nothing else, with the network, its search, and how far to trust both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hwnas.errors import HwnasError
from hwnas.exporter.exported import CARD_FILE, EXPORT_FILE
from hwnas.files import read_json, write_page
from hwnas.report import page_facts as facts
from hwnas.report.answers import confusion_table, mix_ups, pictures
from hwnas.report.candidate_shares import share_charts
from hwnas.report.cell_graph import cells_of, drawn
from hwnas.report.file_facts import memory_rows, model_files
from hwnas.report.latency_tables import LEAST_SHARED_MS
from hwnas.report.layers import layer_rows, strip
from hwnas.report.page_charts import budget_chart, curve, network_points, pareto_chart
from hwnas.report.recorded import MODELS_FOLDER, REPORT_FILE
from hwnas.space import Architecture, SearchSpace

PAGE_FILE, TEMPLATE = "report.html", "search.html"

Json = Mapping[str, Any]


def write_search_page(
    folder: Path,
    report: Json,
    space: SearchSpace | None,
    indicators: Sequence[Json] = (),
    metrics: Sequence[Json] = (),
    evaluated: Sequence[Json] = (),
    mistakes: Sequence[Json] = (),
    probabilities: Sequence[Json] = (),
) -> Path:
    """Write the page into a run folder.

    Args:
        folder: of the run.
        report: what its ``report.json`` holds.
        space: that was searched; None: not known, and its decisions have no names then.
        indicators: what superkernels were decided by: see `hwnas.searches.indicator_record`; empty: another method.
        metrics: what was logged at each step; empty: nothing was.
        evaluated: the networks that were judged by validation images, in this order.
        mistakes: on test images, those that the network is surest of: see `hwnas.train.confusion.Mistake`.
        probabilities: of the candidates, at some steps: see `hwnas.searches.deriving`; empty: the method has none.

    Raises HwnasError if the report lacks what a page is made of, or the folder cannot be written.
    """
    path = folder / PAGE_FILE
    try:
        text = search_page(report, space, indicators, metrics, evaluated, mistakes, probabilities, folder)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise HwnasError(
            f"the page: the report of {folder} lacks data that a page needs ({error!r}); repeat the command of the run."
        ) from error
    write_page(path, text)
    return path


def search_page(
    report: Json,
    space: SearchSpace | None,
    indicators: Sequence[Json] = (),
    metrics: Sequence[Json] = (),
    evaluated: Sequence[Json] = (),
    mistakes: Sequence[Json] = (),
    probabilities: Sequence[Json] = (),
    folder: Path | None = None,
) -> str:
    """The page as HTML; see `write_search_page`. Without a folder it has no links to files."""
    rows = layer_rows(report, space, indicators)
    exported: Json = {}
    if folder is not None:
        with suppress(HwnasError):  # the page does without it
            exported = read_json(folder / MODELS_FOLDER / EXPORT_FILE, "the export")
    shares = share_charts(probabilities, space)
    counts, classes = report.get("confusion") or (), report.get("classes") or ()
    return render(
        TEMPLATE,
        title=_title(report),
        headline=facts.headline(report),
        classes=facts.class_names(report),
        verdict=facts.verdict(report),
        tiles=facts.tiles(report, exported),
        budget=budget_chart(report),
        limits=facts.limit_rows(report),
        device=facts.device_name(report),
        pareto=pareto_chart(network_points(report), [report["budget_ms"]]),
        compared=bool(report.get("found_against")),
        files=model_files(report, folder, exported),
        others=_other_files(folder),
        memory=memory_rows(exported),
        notes=facts.notes(report, exported),
        curves=_curves(report, metrics, evaluated, shares),
        shares=shares,
        cells=[drawn(graph) for graph in cells_of(_network(report))],
        confusion=confusion_table(counts, classes),
        mix_ups=mix_ups(counts, classes),
        pictures=pictures(mistakes),
        strip=strip(rows),
        axes=list(dict.fromkeys(str(each["axis"]) for each in indicators)),
        layers=rows,
        total_ms=None if report["price"] is None else report["price"]["predicted_ms"],
        shared_ms=_shared_ms(report),
        search=facts.search_facts(report, _searched(space)),
        trust=facts.trust(report),
        conditions=facts.conditions(report),
    )


def _shared_ms(report: Json) -> float | None:
    """What the network costs beyond its blocks; None where it is not worth a row."""
    shared = (report["price"] or {}).get("shared_ms")
    return shared if isinstance(shared, int | float) and abs(shared) > LEAST_SHARED_MS else None


def _network(report: Json) -> Architecture:
    return Architecture.from_json(report["architecture"], "the architecture of the report")


def render(template: str, **values: Any) -> str:
    """A template of the package; whatever is put into it is text, never markup."""
    environment = Environment(
        loader=PackageLoader("hwnas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def _title(report: Json) -> str:
    space = report["architecture"]["space"] or "network"
    return f"{space} within {report['budget_ms']:g} ms on {facts.device_name(report)}"


def _other_files(folder: Path | None) -> list[tuple[str, str]]:
    """(link, description) of the other files that are there."""
    known = {
        f"{MODELS_FOLDER}/{CARD_FILE}": "the model card: input, output, and code for Kotlin, Swift, Python and C++",
        "weights.safetensors": "the weights, which hwnas.load_child() of the run folder reads",
        REPORT_FILE: "every figure of this page",
    }
    return [] if folder is None else [(link, what) for link, what in known.items() if (folder / link).is_file()]


def _curves(report: Json, metrics: Sequence[Json], evaluated: Iterable[Json], shares: Json | None) -> list[Json]:
    """The charts of the values that were recorded over the search."""
    tried = [{"step": number, "accuracy": 100 * each["accuracy"]} for number, each in enumerate(evaluated, 1)]
    found = [
        curve("Loss of the training images", "", metrics, "loss"),
        curve("Expected latency", " ms", metrics, "expected_ms", report["budget_ms"]),
        curve("Multiplier of the latency", "", metrics, "multiplier"),
        curve("Validation accuracy of each network that was tried", " %", tried, "accuracy", joined=False),
        (shares or {}).get("skips"),
    ]
    return [each for each in found if each is not None]


def _searched(space: SearchSpace | None) -> str:
    if space is None:
        return ""
    options = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in space.options.items())
    return f"{space.name}, input {'x'.join(map(str, space.input_shape))}, {options}"
