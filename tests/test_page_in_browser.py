"""The page of a run as a person has it: in Chromium, on a phone and a wide screen, in light and dark, by keyboard."""

import io
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
from tests.device_environment import lacking
from tests.test_search_page import LARGEST, TINY, report

HOSTILE = '<img src=x onerror="document.title=1">'
LONG = "a-class-whose-name-is-far-too-long-for-the-screen-of-any-phone-" * 3
CLASSES = ["cat", "dog", HOSTILE, LONG]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTHS_PX = (390, 1280)


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


@pytest.fixture(scope="module")
def runs_page(run: Path) -> Path:
    other = run.parent / "run 2"
    shutil.copytree(run, other)
    return write_runs_page([run, other], run.parent / "runs.html")


def opened(browser: Browser, path: Path, width_px: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and what the browser complains of."""
    page = browser.new_page(viewport={"width": width_px, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page, said


@pytest.mark.parametrize("kind", ["one run", "several"])
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_nothing_is_cut_off_or_complained_of(browser, run, runs_page, kind, width_px):
    page, said = opened(browser, runs_page if kind == "several" else run / "report.html", width_px)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    outside = """[...document.querySelectorAll('svg text, p, dd, li, h1, h2')]
      .filter(each => !each.closest('.scroll') && each.getBoundingClientRect().right > innerWidth + 1)
      .map(each => each.textContent)"""
    assert page.evaluate(outside) == []
    assert said == []
    page.close()


@pytest.mark.parametrize("kind", ["one run", "several"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_a_person_out(browser, run, runs_page, kind, scheme):
    page, _ = opened(browser, runs_page if kind == "several" else run / "report.html", 390, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
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
    for _ in range(40):
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
