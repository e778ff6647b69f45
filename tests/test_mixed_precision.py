"""Mixed precision: networks train in 16 bits; what is judged, decided, kept and averaged stays in float32."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from hwnas.designer.config import DesignConfig, default_folder
from hwnas.errors import HwnasError, UsageError
from hwnas.run import Run
from hwnas.searches.cdarts import CDARTSSettings, CDARTSTrainer
from hwnas.searches.darts import DARTSSettings, DARTSTrainer
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.searches.gdas import GDASSettings, GDASTrainer
from hwnas.searches.once_for_all import OnceForAllSettings, OnceForAllTrainer
from hwnas.searches.one_shot import OneShotSettings, UniformTrainer
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proxyless import ProxylessSettings, ProxylessTrainer
from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer
from hwnas.searches.snas import SNASSettings, SNASTrainer
from hwnas.train import mixed_precision
from hwnas.train.child import ChildTrainer
from hwnas.train.data import load_data
from hwnas.train.evaluate import accuracy, recalibrate_batch_norm
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import train
from hwnas.train.mixed_precision import FIRST_SCALE, MixedPrecision, resolve_amp
from tests.processes import started
from tests.test_dsnas import SPACE, problem
from tests.weekly import weekly_except

WITHOUT_PRETRAINING = {"pretrain": 0.0, "derive": "probable"}

TRAINERS = {
    "dsnas": lambda task: DSNASTrainer(task, DSNASSettings(**WITHOUT_PRETRAINING)),
    "single-path": lambda task: SinglePathTrainer(task, SinglePathSettings(warmup=0.0)),
    "spos": lambda task: UniformTrainer(task, OneShotSettings()),
    "snas": lambda task: SNASTrainer(task, SNASSettings(**WITHOUT_PRETRAINING)),
    "proxyless": lambda task: ProxylessTrainer(task, ProxylessSettings(**WITHOUT_PRETRAINING)),
    "darts": lambda task: DARTSTrainer(task, DARTSSettings(**WITHOUT_PRETRAINING)),
    "gdas": lambda task: GDASTrainer(task, GDASSettings(**WITHOUT_PRETRAINING)),
    "cdarts": lambda task: CDARTSTrainer(task, CDARTSSettings(pretrain=0.0)),
    "once-for-all": lambda task: OnceForAllTrainer(task, OnceForAllSettings(derive="probable")),
    "child": lambda task: ChildTrainer(SPACE.decode([0] * 7), task.data, task.epochs, amp=task.amp),
    "fine-tuned child": lambda task: ChildTrainer(
        SPACE.decode([0] * 7), task.data, task.epochs, settings=FineTuningSettings(), amp=task.amp
    ),
}


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


@pytest.fixture
def convolved():
    """The types of all convolutions' outputs, by whether their module was in training mode."""
    found: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def note(module: nn.Module, _given: object, out: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            found[module.training].add(out.dtype)

    hook = register_module_forward_hook(note)
    yield found
    hook.remove()


def task(digits, amp: str) -> SearchProblem:
    return replace(problem(digits), amp=amp)


def kept_types(value: object) -> set[torch.dtype]:
    """The floating-point types of everything in a state."""
    if isinstance(value, Tensor):
        return {value.dtype} if value.is_floating_point() else set()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return {dtype for part in parts for dtype in kept_types(part)}


@pytest.mark.parametrize("name", weekly_except(["dsnas", "single-path", "cdarts"], TRAINERS))
def test_every_trainer_computes_in_bfloat16_and_keeps_float32(digits, convolved, name):
    trainer = TRAINERS[name](task(digits, "bf16"))
    trainer.net.train()
    figures = trainer.step(*next(digits.train_batches(0)))
    assert convolved[True] == {torch.bfloat16}
    assert figures["loss"] > 0
    assert kept_types(trainer.state_dict()) <= {torch.float32, torch.float64}  # sums of losses are float64
    assert {p.grad.dtype for p in trainer.net.parameters() if p.grad is not None} == {torch.float32}


def test_a_step_in_16_bits_goes_about_where_one_in_float32_goes(digits):
    moved = {}
    for amp in ("off", "bf16", "fp16"):
        trainer = TRAINERS["spos"](task(digits, amp))
        before = [p.detach().clone() for p in trainer.net.parameters()]
        trainer.step(*next(digits.train_batches(0)))
        parts = [(p.detach() - old).flatten() for p, old in zip(trainer.net.parameters(), before, strict=True)]
        moved[amp] = torch.cat(parts)
    for amp, alike in (("bf16", 0.9), ("fp16", 0.99)):  # they have 8 and 11 digits
        assert torch.cosine_similarity(moved[amp], moved["off"], 0) > alike
        assert float(moved[amp].norm()) == pytest.approx(float(moved["off"].norm()), rel=0.05)
        assert not torch.equal(moved[amp], moved["off"])


def test_accuracy_and_statistics_of_batch_norms_are_taken_in_float32(digits, convolved):
    trainer = TRAINERS["child"](task(digits, "bf16"))
    trainer.step(*next(digits.train_batches(0)))
    child = trainer.trained()
    convolved[False].clear()
    recalibrate_batch_norm(child, digits.train_batches(0))
    accuracy(child, digits.val_batches())
    assert convolved[False] == {torch.float32}


def test_what_nearly_cancels_is_computed_in_float32(digits, convolved):
    published = DSNASTrainer(task(digits, "bf16"), DSNASSettings(reward="gradient", **WITHOUT_PRETRAINING))
    published.step(*next(digits.train_batches(0)))
    assert convolved[True] == {torch.float32}
    convolved[True].clear()
    second_order = DARTSTrainer(task(digits, "bf16"), DARTSSettings(order="second", **WITHOUT_PRETRAINING))
    second_order.step(*next(digits.train_batches(0)))
    assert convolved[True] == {torch.bfloat16, torch.float32}  # the finite difference, and all else


def test_where_it_is_off_nothing_is_computed_in_16_bits(digits, convolved):
    trainer = TRAINERS["gdas"](task(digits, "off"))
    trainer.step(*next(digits.train_batches(0)))
    assert convolved[True] == {torch.float32}


def test_an_update_whose_gradients_overflow_in_float16_is_left_out_and_the_scale_halved():
    weight = nn.Parameter(torch.ones(2, 2))
    precision = MixedPrecision("cpu", "fp16")
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step(factor: float) -> None:
        optimizer.zero_grad()
        with precision.forward():
            loss = factor * (torch.ones(1, 2) @ weight).float().sum()
        precision.backward(loss, [weight])
        precision.update(optimizer, [weight], clip_norm=1.0)

    step(100.0)  # 100 * 4096 is beyond float16's 65,504
    assert torch.equal(weight, torch.ones(2, 2)) and precision.scale == FIRST_SCALE / 2
    step(1.0)
    # clipped as what it is, not as what it is scaled to: each of four gradients is 1, their norm 2
    assert torch.allclose(weight, torch.full((2, 2), 0.95))


def test_one_batch_that_overflows_leaves_no_trace_in_a_trained_network(digits):
    trainer = TRAINERS["child"](task(digits, "fp16"))
    images, labels = next(digits.train_batches(0))
    trainer.step(images, labels)
    before = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    trainer.step(torch.full_like(images, torch.inf), labels)
    assert all(torch.equal(value, before[name]) for name, value in trainer.net.state_dict().items())


def test_the_mean_loss_of_dsnas_forgets_what_overflowed(digits):
    trainer = TRAINERS["dsnas"](task(digits, "fp16"))
    images, labels = next(digits.train_batches(0))
    trainer.step(images, labels)
    trainer.step(torch.full_like(images, torch.inf), labels)
    trainer.step(images, labels)
    assert trainer.mean_loss.isfinite()


def test_gradients_that_float32_does_not_lose_float16_does_not_lose_either():
    x, weight = torch.full((1, 1), 1e-4), nn.Parameter(torch.ones(1, 1))
    precision = MixedPrecision("cpu", "fp16")
    with precision.forward():
        loss = 1e-4 * (x @ weight).float().sum()
    (gradient,) = precision.gradients(loss, [weight])
    assert float(gradient) == pytest.approx(1e-8, rel=0.01)  # the smallest number of float16 is 6e-8


def test_the_scale_grows_after_many_good_updates_and_is_a_part_of_the_checkpoint(digits, monkeypatch):
    monkeypatch.setattr(mixed_precision, "GOOD_UPDATES", 2)
    monkeypatch.setattr(mixed_precision, "FIRST_SCALE", 2.0)
    trainer = TRAINERS["child"](task(digits, "fp16"))
    for _ in range(3):
        trainer.step(*next(digits.train_batches(0)))
    assert trainer.precision.scale == 4.0
    again = TRAINERS["child"](task(digits, "fp16"))
    again.load_state_dict(trainer.state_dict())
    assert again.precision.state_dict() == trainer.precision.state_dict()


def train_for_long(folder: Path, amp: str, epochs: int = 4) -> dict[str, Tensor]:
    """A fine-tuning with a checkpoint after every step, on one thread."""
    torch.set_num_threads(1)
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    settings = FineTuningSettings()
    trainer = ChildTrainer(SPACE.decode([1] * 7), data, epochs, settings=settings, amp=amp)
    train(trainer, data, Run(folder, {}), checkpoint_seconds=0.0)
    return trainer.trained().state_dict()


@pytest.mark.weekly
def test_killed_in_mixed_precision_and_continued_equals_uninterrupted_bit_for_bit(tmp_path):
    threads = torch.get_num_threads()
    try:
        whole = train_for_long(tmp_path / "whole", "bf16")
        process = started(train_for_long, tmp_path / "killed", "bf16")
        log = tmp_path / "killed" / "metrics.jsonl"
        while process.is_alive() and (not log.exists() or log.read_text().count("\n") < 4):
            process.join(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        again = train_for_long(tmp_path / "killed", "bf16")
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_it_is_part_of_the_run_unless_it_is_off(tmp_path, digits):
    assert "amp" not in task(digits, "off").identity  # runs of before there was a choice go on
    Run(tmp_path / "run", task(digits, "off").identity)
    with pytest.raises(HwnasError, match="amp: None there, 'bf16' now"):
        Run(tmp_path / "run", task(digits, "bf16").identity)
    plain = DesignConfig(budget_ms=1.0)
    assert default_folder(plain) == default_folder(DesignConfig(budget_ms=1.0, amp="auto"))
    assert default_folder(plain) != default_folder(DesignConfig(budget_ms=1.0, amp="bf16"))


def test_auto_is_off_on_a_cpu_and_what_a_gpu_has():
    assert resolve_amp("auto", "cpu") == "off"
    assert resolve_amp("bf16", "cpu") == "bf16"


@pytest.mark.parametrize(("has_bf16", "found"), [(True, "bf16"), (False, "fp16")])
def test_auto_takes_float16_where_a_gpu_has_no_bfloat16(monkeypatch, has_bf16, found):
    monkeypatch.setattr(mixed_precision, "_gpu_has_bf16", lambda device: has_bf16)  # there is no GPU here
    assert resolve_amp("auto", "cuda") == found
    if not has_bf16:
        with pytest.raises(UsageError, match="does not compute in bfloat16; say --amp fp16"):
            resolve_amp("bf16", "cuda:1")


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="unknown amp 'fp8'; known: auto, bf16, fp16, off"):
        resolve_amp("fp8", "cpu")
    with pytest.raises(UsageError, match="no mixed precision on 'meta'; say --amp off"):
        resolve_amp("bf16", "meta")
