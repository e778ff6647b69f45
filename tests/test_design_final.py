"""The last measurement of a design: what is measured while the machine is slower does not count, and is repeated."""

import logging
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.campaign.bench import bench
from hwnas.child import build_child
from hwnas.designer.closing import _export
from hwnas.designer.final import (
    PATIENT_RETAKES,
    RETAKES,
    Repetition,
    is_known,
    least_disturbed,
    measure_models,
    undisturbed,
    undisturbed_ms,
)
from hwnas.designer.result import DesignResult
from hwnas.devices.device import Device
from hwnas.exporter.export import export
from hwnas.latency.predictor import Prediction
from hwnas.report.page_facts import unused
from hwnas.searches.derivation import Derivation
from hwnas.spaces import get_space
from tests.export_digits import RESOLUTION, digits
from tests.small_models import IMAGE_SHAPE, feature_net


def look(*reference_us: float) -> Repetition:
    return Repetition(((100.0,),), reference_us)


@pytest.mark.parametrize(
    ("slowest_us", "usual_us", "kept"),
    [
        ([10.0, 10.2, 11.5], None, [10.0, 10.2]),  # beside the fastest of now
        ([10.0, 10.2, 11.5], 10.1, [10.0, 10.2]),
        ([11.5, 11.6], 10.0, []),  # slower than usual all the time
        ([11.5, 11.6], None, [11.5, 11.6]),
        ([9.0, 10.0], 10.0, [9.0]),  # faster than usual now and then
        ([0.0, 0.0], 10.0, [0.0, 0.0]),  # there is no reference
        ([], 10.0, []),
    ],
)
def test_what_was_measured_while_the_machine_was_slower_does_not_count(slowest_us, usual_us, kept):
    looks = [look(5.0, us) if us else look() for us in slowest_us]
    assert [each.slowest_us for each in undisturbed(looks, 3.0, usual_us)] == kept


def test_nor_does_what_was_measured_while_the_file_alone_was_slower():
    """Full caches slow a large network, and not the small reference model."""
    files_us = [(100.0,), (102.0,), (109.0,), (140.0, 90.0, 141.0)]
    looks = [Repetition((runs,), (10.0, 10.1)) for runs in files_us]
    assert undisturbed(looks, 3.0, 10.0) == looks[:2]


def test_where_the_reference_and_the_file_were_never_fast_at_once_the_file_tells():
    """As on a machine with so much else to do that each is fast now and then."""
    looks = [Repetition(((130.0,),), (10.0,)), Repetition(((100.0,),), (14.0,)), Repetition(((102.0,),), (15.0,))]
    assert undisturbed(looks, 3.0) == []
    assert least_disturbed(looks, 3.0) == looks[1:]


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), min_size=1, max_size=9), st.floats(0, 50))
def test_something_always_counts(microseconds, limit_percent):
    looks = [Repetition(((of_file,),), (of_reference,)) for of_file, of_reference in microseconds]
    counts = least_disturbed(looks, limit_percent)
    assert counts and all(each in looks for each in counts)


def test_a_machine_that_stays_slower_is_measured_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas.designer.final.PAUSE_S", 0.0)
    monkeypatch.setattr("hwnas.designer.final.RETAKES", 1)
    models = export(feature_net(), tmp_path, ("tflite",), (1, 3, 8, 8))
    quick = Device(name="test", min_runs=1, min_ms=0, max_runs=3, visits=1, extra_visits=0, warmup_ms=0)
    final = measure_models(models, quick, "litert", lambda *_: None, everywhere=False, rounds=1, usual_us=1e-6)
    assert final.measured_ms["litert"] > 0 and final.reference_us["litert"] > 0


@pytest.mark.parametrize(
    ("usual_us", "times"),
    [(1e9, 1), (1e-6, 1 + 2), (None, 1)],
    ids=["as fast as usual", "always slower", "unknown"],
)
def test_what_the_search_measures_is_measured_again_while_the_machine_is_slower(tmp_path, monkeypatch, usual_us, times):
    """A moment in which the machine is slower would lower the limit for good, and leave the budget unused."""
    monkeypatch.setattr("hwnas.designer.final.PAUSE_S", 0.0)
    monkeypatch.setattr("hwnas.designer.final.RETAKES", 2)
    (model,) = export(feature_net(), tmp_path, ("tflite",), (1, 3, 8, 8))
    quick = Device(name="test", min_runs=1, min_ms=0, max_runs=3, visits=1, extra_visits=0, warmup_ms=0)
    measured = []

    def counted(*args, **options):
        measured.append(bench(*args, **options))
        return measured[-1]

    monkeypatch.setattr("hwnas.designer.final.bench", counted)
    assert undisturbed_ms(model.path.read_bytes(), quick, "litert", usual_us) > 0
    assert len(measured) == times


@pytest.mark.parametrize(
    ("seen", "known"),
    [
        ([(100.0, (10.0, 10.1))], True),  # undisturbed
        ([(100.0, (10.0, 15.0))], False),  # disturbed for a moment
        ([(100.0, (10.0, 15.0)), (102.0, (16.0,))], True),  # the same again
        ([(140.0, (15.0,)), (141.0, (15.1,))], False),  # the same twice while the machine is slower
        ([(140.0, (15.0,)), (141.0, (15.1,)), (100.0, (10.0, 15.0))], False),  # faster than both
        ([(140.0, (15.0,))] * RETAKES, False),
        ([(140.0, (15.0,))] * (1 + RETAKES), True),  # it stays slower
        ([(100.0 + 9 * turn, (10.0, 15.0)) for turn in range(1 + RETAKES)], False),  # it is fast now and then
        ([(100.0 + 9 * turn, (10.0, 15.0)) for turn in range(1 + PATIENT_RETAKES)], True),
    ],
)
def test_what_a_search_measures_is_measured_until_it_is_known(seen, known):
    looks = [Repetition(((file_us,),), reference_us) for file_us, reference_us in seen]
    assert is_known(looks, 3.0, 10.0) is known


def test_each_file_is_measured_and_the_first_precision_on_every_runtime(tmp_path):
    formats, precisions = ("tflite", "onnx"), ("float32", "int8-weights")
    models = export(feature_net(), tmp_path, formats, IMAGE_SHAPE, precisions)
    quick = Device(name="test", min_runs=1, min_ms=0, max_runs=3, visits=1, extra_visits=0, warmup_ms=0)
    quick = quick.model_copy(update={"drift_limit_percent": 1e9})
    final = measure_models(models, quick, "onnxruntime", lambda *_: None, rounds=1)
    assert next(iter(final.measured_ms)) == "onnxruntime" and "litert" in final.measured_ms
    assert set(final.files_ms["model.tflite"]) == set(final.measured_ms) - {"onnxruntime"}
    assert list(final.files_ms["model.int8-weights.tflite"]) == ["litert"]
    assert list(final.files_ms["model.int8-weights.onnx"]) == ["onnxruntime"]
    assert final.measured_ms["onnxruntime"] == final.files_ms["model.onnx"]["onnxruntime"]
    assert final.measured_ms["litert"] == final.files_ms["model.tflite"]["litert"]


@pytest.mark.parametrize(
    ("measured_ms", "reason", "says"),
    [
        (0.60, None, "40 % of the budget: it measured 25 % faster than predicted, as where the machine was slower"),
        (0.75, "its 90 % interval ends at 98 % of the budget", "20 % of the budget: its 90 % interval ends at 98 %"),
        (0.95, None, None),
        (0.79, None, None),  # another limit is used up
        (0.90, "predicted", "10 % of the budget: it measured 5 % faster than predicted"),
    ],
)
def test_why_much_of_a_budget_is_not_used_is_said(measured_ms, reason, says):
    prediction, derivation = Prediction(0.8, 0.7, 0.9), Derivation(0.8, reason=reason)
    if reason == "predicted":
        reason, prediction, derivation = None, Prediction(0.95, 0.9, 1.0), Derivation(0.95)
    result = SimpleNamespace(budget_ms=1.0, budget_used=measured_ms, prediction=prediction, derivation=derivation)
    told = DesignResult.unused.fget(result)
    assert told is None if says is None else told.startswith(says)
    assert unused({"unused": told}) == (f"Not used: {told}." if told else "")
    before = unused({"derivation": derivation.to_json()})  # in the report of an earlier version
    assert before == (f"Not used: 20 % of the budget: {reason}." if reason else "")


def test_a_design_without_the_package_for_int8_keeps_what_was_found(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    child = build_child(get_space("tiny", RESOLUTION, 10, 0.25).decode([0] * 7))
    task = SimpleNamespace(table=SimpleNamespace(publication=None), data=digits(), precision="float32", is_proxy=False)
    with caplog.at_level(logging.WARNING, "hwnas"):
        models = _export(child, task.data, task, SimpleNamespace(folder=tmp_path), lambda *_: None)
    assert [model.path.name for model in models] == ["model.tflite", "model.onnx"]
    assert all(model.accuracy is not None and model.path.exists() for model in models)
    assert "exported without int8" in caplog.text and "pip install 'hwnas[int8]'" in caplog.text
