"""The page of a run as a person has it: in Chromium, on a phone and a wide screen, in light and dark, by keyboard."""

import io
import json
import shutil
from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from hwnas.files import write_json
from hwnas.report.runs_page import write_runs_page
from hwnas.report.search_page import write_search_page
from hwnas.report.study_page import write_study_page
from tests.device_environment import lacking
from tests.test_cells_on_page import DARTS, PUBLISHED, one_hot
from tests.test_search_page import LARGEST, TINY, report

HOSTILE = '<img src=x onerror="document.title=1">'
LONG = "a-class-whose-name-is-far-too-long-for-the-screen-of-any-phone-" * 3
CLASSES = ["cat", "dog", HOSTILE, LONG]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
KINDS = ("one run", "cells", "several", "study")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        lacking("chromium not found; tests/android/install.sh brings it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


def picture() -> str:
    written = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 40, 40)).save(written, "JPEG")
    return b64encode(written.getvalue()).decode()


def whole_report(folder: Path) -> dict:
    """A report with everything that a page can show; the files are in the folder."""
    (folder / "models").mkdir(parents=True)
    models = []
    for name, precision in (("model.tflite", "float32"), ("model.int8.tflite", "int8")):
        (folder / "models" / name).write_bytes(b"model")
        ms = {"litert": 1.9 if precision == "float32" else 0.8}
        models.append(
            {"format": "tflite", "precision": precision, "path": f"/gone/models/{name}", "bytes": 50_000}
            | {"ms": ms, "accuracy": 0.5}
        )
    (folder / "models" / "CARD.md").write_text("# A card")
    counted = {"path": "model.tflite", "bytes": 50_000, "macs": 9, "parameters": 9, "peak_activation_bytes": 9}
    write_json(folder / "models" / "export.json", {"files": [counted | {"warnings": [HOSTILE]}]})
    known = {"network": HOSTILE, "width": 1.0, "resolution": 32, "measured_ms": 1.5, "accuracy": 0.4, "params": 900}
    near = {"network": "plain-cnn", "width": 1.0, "resolution": 32, "measured_ms": 1.52, "accuracy": 0.41, "params": 9}
    return report(
        LARGEST,
        device=f"phones/{LONG}.toml",
        status="within",
        measured_ms={"litert": 1.9, "onnxruntime": 2.4},
        models=models,
        found_against=[known, near],
        returned="found",
        classes=CLASSES,
        macs=1_000_000,
        confusion=[[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]],
        data_warnings=[f"class {HOSTILE} has few images"],
        chosen=["3 epochs"],
        card={"mape": 2.0, "n_blocks": 7, "n_networks": 9, "predictor": LONG, "protocol": "5-fold"},
        conditions={"litert": {"identity": {"cpu": HOSTILE, "threads": 1}, "circumstances": {"load_average": 0.2}}},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a run <b>") / "run 1"
    told = whole_report(folder)
    metrics = [{"step": n, "loss": 2 / n, "expected_ms": 3 - n / 100, "multiplier": 0.1} for n in range(1, 150)]
    mistake = {"truth": HOSTILE, "answer": LONG, "sureness": 0.97, "picture": picture()}
    tried = [{"accuracy": 0.4}, {"accuracy": 0.6}]
    write_search_page(folder, told, TINY, metrics=metrics, evaluated=tried, mistakes=[mistake])
    write_json(folder / "report.json", told)
    return folder


def study_row(method: str, accuracies: list[float], interval: list[float] | None) -> dict:
    found = {"method": method, "data": LONG, "budget_ms": 0.123456, "seeds": len(accuracies), "rank": 1}
    found |= {"accuracies": accuracies, "accuracy_mean": sum(accuracies) / len(accuracies), "interval": interval}
    numbers = ("relative_improvement", "p", "p_holm", "least_p", "superiority", "smallest_improvement")
    gap = {"discretisation": 0.1, "retraining": 0.1, "regret": 0.1, "hit": 0.5}
    gap |= {name + end: 0.1 for name in ("tau", "tau_top_quartile", "tau_macs", "tau_depth") for end in ("", "_error")}
    return found | dict.fromkeys(numbers, None if interval is None else 0.01) | {"budget_used": 0.9, "gap": gap}


@pytest.fixture(scope="module")
def pages(run: Path) -> dict[str, Path]:
    """A page of each kind."""
    other = run.parent / "run 2"
    shutil.copytree(run, other)
    for folder, steps in ((run, 300), (other, 200)):
        records = [json.dumps({"step": k, "loss": 2 - k / steps, "expected_ms": 0.1}) for k in range(1, steps + 1)]
        (folder / "metrics.jsonl").write_text("\n".join(records) + "\n")
    cells, study = run.parent / "cells", run.parent / "study"
    for folder in (cells, study):
        folder.mkdir()
    uniform = [[1 / len(d.candidates)] * len(d.candidates) for d in DARTS.decisions]
    states = enumerate((uniform, one_hot(DARTS, DARTS.indices(PUBLISHED))))
    probabilities = [{"step": step, "probabilities": state} for step, state in states]
    told = report(LARGEST, architecture=PUBLISHED.to_json(), price=None)
    config = {"space": "tiny", "first_seed": 0, "seeds": 2, "epochs": 1, "batch_size": 2, "latency": "", "device": LONG}
    rows = [study_row("random", [0.1, 0.3], None), study_row(HOSTILE, [0.4, 0.5], [1.0, 2.0])]
    return {
        "one run": run / "report.html",
        "several": write_runs_page([run, other], run.parent / "runs.html"),
        "cells": write_search_page(cells, told, DARTS, probabilities=probabilities),
        "study": write_study_page(study, {"config": config | {"ranked": 0}, "rows": rows}),
    }


def opened(browser: Browser, path: Path, width_px: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and what the browser complains of."""
    page = browser.new_page(viewport={"width": width_px, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page, said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (1280, "dark")])
def test_nothing_is_cut_off_or_complained_of_and_axe_finds_no_barrier(
    browser, pages, kind, width_px, scheme, record_property
):
    """Nor is a page large; and every chart can be read value by value."""
    page, said = opened(browser, pages[kind], width_px, scheme)
    took = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    size, ms = pages[kind].stat().st_size, page.evaluate(took)
    print(f"{kind}: {size / 1024:.0f} KiB, {ms:.0f} ms to open")
    record_property(kind, f"{size} bytes, {ms:.0f} ms")
    assert size < 400_000
    charts = """[...document.querySelectorAll('figure.chart')].map(each =>
      [each.querySelectorAll('.spot').length, each.querySelector('.reader').hidden])"""
    found = page.evaluate(charts)
    assert found and all(hidden == (spots < 2) for spots, hidden in found)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    outside = """[...document.querySelectorAll('svg text, p, dd, li, h1, h2')]
      .filter(each => !each.closest('.scroll') && each.getBoundingClientRect().right > innerWidth + 1)
      .map(each => each.textContent)"""
    assert page.evaluate(outside) == []
    assert said == []
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_the_pictures_are_there_and_say_what_they_show(browser, run):
    page, _ = opened(browser, run / "report.html")
    assert page.get_by_role("img", name="Accuracy against latency").count() == 1
    assert page.get_by_role("img", name="litert, float32: 1.9 ms measured").count() == 1
    assert page.get_by_role("img", name="Loss of the training images, from 1.5").count() == 1  # the mean of two steps
    assert page.evaluate("[...document.images].map(each => each.naturalWidth)") == [32]
    heights = page.evaluate("[...document.querySelectorAll('rect.column')].map(each => each.getBBox().height)")
    assert len(heights) == len(TINY.nodes)
    assert max(heights) > 100
    labels = "[...document.querySelectorAll('text.halo')].map(each => { const b = each.getBoundingClientRect();"
    tops = sorted(page.evaluate(f"{labels} return b.top; }})"))
    assert all(after - before > 10 for before, after in pairwise(tops))  # none over another
    page.close()


def test_names_from_outside_are_text_and_nothing_else(browser, run):
    page, said = opened(browser, run / "report.html")
    assert page.title().startswith("tiny within 2 ms")
    assert HOSTILE in page.inner_text("body")
    assert page.locator("img[src='x']").count() == 0
    assert said == []
    page.close()


def test_the_keyboard_reaches_files_and_opens_the_table(browser, run):
    page, _ = opened(browser, run / "report.html")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        active = page.evaluate("[document.activeElement.tagName, document.activeElement.getAttribute('href')]")
        reached.append(active)
        if active[0] == "SUMMARY":
            break
    links = [link for tag, link in reached if tag == "A"]
    assert {"#files", "#architecture", "models/model.tflite", "models/CARD.md"} <= set(links)
    assert reached[-1][0] == "SUMMARY"
    page.keyboard.press("Enter")
    assert page.locator("tr.fixed").first.is_visible()
    for link in {link for link in links if not link.startswith("#")}:
        assert (run / link).is_file()
    page.close()


def test_a_chart_is_read_by_keyboard_and_under_the_pointer(browser, run):
    page, _ = opened(browser, run / "report.html")
    slider = page.get_by_role("slider", name="Values of Expected latency")
    assert slider.get_attribute("aria-valuetext") == "step 149: 1.51 ms"
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext").startswith("step 1: 2.9")
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext").startswith("step 3: 2.9")  # a value stands for two steps
    chart = page.locator("figure.chart", has=slider)
    assert chart.locator("output").inner_text() == slider.get_attribute("aria-valuetext")
    chart.locator(".spot").last.hover()
    assert slider.get_attribute("aria-valuetext") == "step 149: 1.51 ms"
    page.close()


def test_the_graph_of_a_cell_can_be_read_on_a_phone(browser, pages):
    page, _ = opened(browser, pages["cells"], 390)
    graph = page.get_by_role("img", name="normal cell: node 2 is sep conv 3x3 of 0 plus")
    assert graph.count() == 1
    sizes = "each => each.map(text => text.getBoundingClientRect().height)"
    assert min(graph.locator("text").evaluate_all(sizes)) >= 11
    assert graph.locator("g.spot").count() == 8
    page.close()
