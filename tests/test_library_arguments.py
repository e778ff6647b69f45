"""Wrong arguments of the library are said before anything is begun; and what a call must leave as it was."""

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import hwnas
from hwnas.child import build_child, load_child, save_child, weights_checksum
from hwnas.errors import HwnasError, UsageError
from hwnas.evaluation.statistics import MOST_PERMUTATIONS, least_p, permutation_p
from hwnas.exporter.model_input import model_input
from hwnas.latency.measuring.model_files import block_model, network_model
from hwnas.sandbox import run_sandboxed
from tests.image_files import make_folder
from tests.test_dsnas import SPACE, fitted
from tests.test_latency import made_table

NAMED = (127.0, 127.0, 127.0)


@pytest.fixture(scope="module")
def digits():
    return hwnas.load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


def searched(data, out, seed=0, **more):
    return hwnas.search(SPACE, data, fitted(), "60%", out, epochs=1, seed=seed, train_threads=1, **more)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, not 0"),
        ({"epochs": "3"}, "epochs must be a whole number of 1 or more, not '3'"),
        ({"epochs": 1.5}, "epochs must be a whole number of 1 or more, not 1.5"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, not -1"),
        ({"seed": 2**64}, "seed must be a whole number from 0 to"),
        ({"seed": None}, "seed must be a whole number from 0 to 4294967295, not None"),
        ({"data": "digits"}, "the images that hwnas.load_data gives"),
        ({"space": "tiny"}, "a SearchSpace, from hwnas.get_space"),
        ({"predictor": made_table(SPACE, networks=5)}, "a latency predictor, from hwnas.fit"),
        ({"budget_ms": None}, "a budget must be a number of ms"),
        ({"settings": {"lr": "high"}}, "lr: must be a valid number"),
        ({"settings": {"lr": -1.0}}, "lr is a rate of 0 or more, not -1"),
        ({"settings": {"alpha_betas": 0.5}}, "alpha_betas: must be a valid tuple"),
    ],
)
def test_a_search_begins_with_arguments_that_it_can_use(digits, tmp_path: Path, wrong: dict, said: str) -> None:
    good = {"space": SPACE, "data": digits, "predictor": fitted(), "budget_ms": "60%", "epochs": 1}
    with pytest.raises(UsageError) as caught:
        hwnas.search(**good | wrong, out=tmp_path / "run")
    assert said in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"normalisation": ((0, 0, 0), (0, 0, 0))}, "one positive deviation"),
        ({"normalisation": (NAMED, (64, 64, 64))}, "divide both by 255"),
        ({"normalisation": ((0.5,), (0.5,))}, "three channels each"),
        ({"normalisation": "imagenet"}, "three channels each"),
        ({"batch_size": 8.0}, "batch_size must be a whole number of 1 or more, not 8.0"),
        ({"resolution": "16"}, "resolution, in pixels, must be a whole number of 8 or more, not '16'"),
        ({"limit_train": "20"}, "limit_train must be a whole number"),
        ({"workers": 1.5}, "workers must be a whole number"),
        ({"balance": "all"}, "balance must be from 0 to 1, not 'all'"),
    ],
)
def test_images_are_not_read_for_arguments_that_none_can_be_read_with(wrong: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        hwnas.load_data("digits", **{"resolution": 16} | wrong)
    assert said in str(caught.value)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    statistics = np.full(3, 0.25), np.full(3, 0.5)
    data = hwnas.load_data(
        "digits", np.int64(16), batch_size=np.int32(32), limit_train=64, workers=0, normalisation=statistics
    )
    assert data.mean == (0.25, 0.25, 0.25)
    assert type(data.batch_size) is type(data.resolution) is int
    space = hwnas.get_space("tiny", resolution=np.int64(16), num_classes=np.int64(10), width=np.float32(0.25))
    assert space.decode([0] * 7) == SPACE.decode([0] * 7)
    with pytest.raises(UsageError, match="must be a whole number from 8 to 1024, not '32'"):
        hwnas.get_space("tiny", resolution="32")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hwnas.fit("folder"), "a LatencyTable"),
        (lambda: hwnas.price(SPACE, [0] * 7, "folder"), "a LatencyTable"),
        (lambda: hwnas.measure("tiny"), "a SearchSpace"),
        (lambda: hwnas.measure(SPACE, networks=-3), "networks must be a whole number of 0 or more, not -3"),
        (lambda: hwnas.latency_range("tiny"), "a SearchSpace"),
        (lambda: hwnas.Budget("60%", SPACE, fitted()), "a positive number of milliseconds, not '60%'"),
        (lambda: run_sandboxed("none", {}, "who", "what", 0), "timeout_s must be a number of seconds above 0"),
        (lambda: model_input(Path(__file__), crop="none"), "crop must be True, False or None"),
        (lambda: hwnas.load_device("local").with_threads(1.5), "threads is 1.5"),
    ],
)
def test_a_slip_is_said_where_it_was_made(call, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert said in str(caught.value)


def test_an_export_takes_one_name_and_no_wrong_images(digits, tmp_path: Path) -> None:
    child = build_child(SPACE.decode([0] * 7)).eval()
    assert [each.path.name for each in hwnas.export(child, tmp_path, formats="onnx")] == ["model.onnx"]
    for wrong, said in [({"formats": ()}, "formats must name one"), ({"images": digits}, "hwnas.export_images(data)")]:
        with pytest.raises(UsageError) as caught:
            hwnas.export(child, tmp_path, **wrong)
        assert said in str(caught.value)


def test_a_named_table_is_of_the_device_that_is_named() -> None:
    space = hwnas.get_space("single-path")
    with pytest.raises(UsageError, match="is about pixel-1, not pixel-8"):
        hwnas.latency_range(space, device="pixel-8", latency="pixel-1/single-path-nas")
    with pytest.raises(UsageError, match="runtime would do nothing"):
        hwnas.latency_range(space, runtime="litert", latency="pixel-1/single-path-nas")
    assert hwnas.latency_range(space, latency="pixel-1/single-path-nas").spaces[0].fastest.ms > 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverged_ends_and_keeps_no_such_weights(digits, tmp_path: Path) -> None:
    for _ in range(2):  # a run that goes on begins with weights that are finite, too
        with pytest.raises(HwnasError, match=r"the training diverged before step .* of .*lower learning rate"):
            searched(digits, tmp_path, method="random", settings={"lr": 1e30, "clip_norm": None})
    assert not (tmp_path / "weights.safetensors").exists()


@pytest.mark.weekly
def test_searches_of_several_threads_find_what_each_alone_finds(digits, tmp_path: Path) -> None:
    found: dict[str, str] = {}

    def go(name: str) -> None:
        torch.manual_seed(len(name))
        result = searched(digits, tmp_path / name)
        found[name] = weights_checksum(result.derive().state_dict())

    go("alone")
    threads = [threading.Thread(target=go, args=(name,)) for name in ("one", "another")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found.values())) == 1


def test_the_random_numbers_of_the_caller_stay_as_they_were(digits, tmp_path: Path) -> None:
    child = build_child(SPACE.decode([0] * 7))
    before = torch.get_rng_state()
    block = SPACE.distinct_blocks()[1]
    block_model(*block, "onnx")
    network_model(child.architecture, "onnx")
    save_child(child, tmp_path / "child")
    load_child(tmp_path / "child")
    searched(digits, tmp_path / "run").derive()
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_found_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    monkeypatch.chdir(tmp_path)
    data = hwnas.load_data("photos", 8, workers=0)
    monkeypatch.chdir("/")
    assert sum(len(labels) for _, labels in data.test_batches()) == data.counts["test"]
    assert repr(data).startswith("ImageData('photos': 2 classes, 8 px, ")


def test_images_travel_between_processes(digits) -> None:
    again = pickle.loads(pickle.dumps(digits))
    assert again.digest == digits.digest and "ImageData('digits': 10 classes, 16 px, 64 train" in repr(again)


def test_files_are_written_to_a_path_that_is_text(tmp_path: Path) -> None:
    table = made_table(SPACE, networks=8)
    table.save(str(tmp_path))
    predictor = hwnas.fit(hwnas.LatencyTable.load(str(tmp_path)), SPACE)
    predictor.save(str(tmp_path / "predictor.json"))
    assert hwnas.AdditivePredictor.load(str(tmp_path / "predictor.json")).digest == predictor.digest


def test_no_p_is_smaller_than_the_divisions_that_are_tried() -> None:
    apart = permutation_p([1.0 + n / 100 for n in range(12)], [n / 100 for n in range(12)])
    assert apart == pytest.approx(least_p(12, 12)) == pytest.approx(1 / (MOST_PERMUTATIONS + 1))
    assert least_p(3, 3) == pytest.approx(0.1)
