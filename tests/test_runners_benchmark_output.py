"""What benchmark_model prints is read the same whatever build printed it, and garbage is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import HwnasError
from hwnas.runners.benchmark_output import (
    AppliedDelegate,
    LeftToCpu,
    RunStatistics,
    number,
    parse_benchmark_output,
    parse_statistics,
)

OUTPUTS = Path(__file__).parent / "benchmark_outputs"


def output(name: str) -> str:
    return (OUTPUTS / name).read_bytes().decode()


READ = {
    "2018_iterations_only.txt": {"count": 50, "typical": 137722.0, "init": 4452.0, "first": None, "threads": 1},
    "2019_profiled.txt": {"count": 50, "typical": 115062.0, "init": 1892.0, "mb": (3.07422, 12.5, None), "threads": 4},
    "2020_desktop_profiled.txt": {
        "count": 66,
        "typical": 15170.2,
        "init": 255.0,
        "first": 18475.0,
        "mb": (4.77344, 26.3477, None),
        "xnnpack": False,
        "threads": 1,
    },
    "2021_gpu.txt": {
        "count": 50,
        "typical": 119375.0,
        "init": 870557.0,
        "delegates": (AppliedDelegate("GPU", "all"),),
        "threads": 4,
    },
    "2022_nnapi_slow_warmup.txt": {
        "count": 260,
        "typical": 3756.87,
        "first": 11403859.0,
        "delegates": (AppliedDelegate("NNAPI", "part"),),
        "mb": (0.0, 15.3438, None),
    },
    "2023_slow_model.txt": {
        "count": 142,
        "typical": 1060170.0,
        "xnnpack": True,
        "mb": (14.4414, 14.8164, 93.2383),
        "threads": 1,
    },
    "2025_percentiles.txt": {
        "count": 50,
        "typical": 115350.0,
        "quantiles": (112107.0, 115350.0, 116620.0),
        "delegates": (AppliedDelegate("XNNPACK", "all"),),
        "xnnpack": True,
        "threads": 2,
    },
    "2025_xnnpack_profiled.txt": {"count": 64, "typical": 1551.76, "xnnpack": True, "init": 32163.0},
    "logcat.txt": {"count": 50, "typical": 80660.1, "init": 4108.0, "first": 95000.0, "threads": 4},
    "carriage_returns.txt": {"count": 6600, "typical": 151.702, "init": 250.0, "first": 185.0, "threads": 1},
    "gpu_in_part.txt": {
        "count": 50,
        "typical": 28390.2,
        "delegates": (AppliedDelegate("GPU", "part"),),
        "xnnpack": False,
        "threads": 1,
        "left": LeftToCpu(("UNPACK: Operation is not supported.",), 22, 316),
        "notes": (
            "Following operations are not supported by GPU delegate: UNPACK: Operation is not supported. 294 "
            "operations will run on the GPU, and the remaining 22 operations will run on the CPU.",
        ),
    },
    "all_same.txt": {"count": 50, "typical": 24.0, "quantiles": (24.0, 24.0, 24.0)},
    "one_run.txt": {"count": 1, "typical": 24.0, "quantiles": (24.0, 24.0, 24.0)},
}


@pytest.mark.parametrize("name", READ)
def test_every_form_is_read(name):
    made, expected = parse_benchmark_output(output(name)), READ[name]
    assert made.runs.count == expected["count"]
    assert made.runs.typical_us == expected["typical"]
    assert (made.runs.p5_us, made.runs.median_us, made.runs.p95_us) == expected.get("quantiles", (None, None, None))
    assert made.delegates == expected.get("delegates", ())
    assert made.xnnpack == expected.get("xnnpack")
    assert made.threads == expected.get("threads")
    assert made.notes == expected.get("notes", ())
    assert made.left_to_cpu == expected.get("left")
    if "init" in expected:
        assert made.init_us == pytest.approx(expected["init"], rel=1e-5)
    if "first" in expected:
        assert made.first_us == expected["first"]
    if "mb" in expected:
        assert (made.init_mb, made.overall_mb, made.peak_mb) == expected["mb"]


def test_the_warm_up_is_not_taken_for_the_runs():
    made = parse_benchmark_output(output("2020_desktop_profiled.txt"))
    assert made.warmup == RunStatistics(33, 15432.4, 14971.0, 18475.0, 651.0, None, None, None)
    assert made.runs == RunStatistics(66, 15170.2, 14950.0, 16866.0, 286.0, None, None, None)
    assert parse_benchmark_output(output("one_run.txt")).warmup is None


GPU_PARTLY = output("gpu_in_part.txt")
COMPLAINT = GPU_PARTLY[GPU_PARTLY.index("ERROR: Following") : GPU_PARTLY.index("INFO: Initialized OpenCL")]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            "ERROR: Next operations are not supported by GPU delegate:\nPAD: Only 4D.\nSPLIT: \n"
            "First 5 operations will run on the GPU, and the remaining 7 on the CPU.\n",
            LeftToCpu(("PAD: Only 4D.", "SPLIT:"), 7, 12),
        ),
        (
            "I tflite  : Replacing 320 out of 321 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 2 "
            "partitions for subgraph 0.\n",
            LeftToCpu((), 1, 321),
        ),
        (
            "E tflite  : Following operations are not supported by GPU delegate:\nE tflite  : GATHER: Only 1D\n"
            "E tflite  : 320 operations will run on the GPU, and the remaining 1 operations will run on the CPU.\n",
            LeftToCpu(("GATHER: Only 1D",), 1, 321),
        ),
        ("INFO: Replacing 9 out of 9 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1.\n", LeftToCpu()),
    ],
)
def test_every_form_of_what_a_gpu_leaves_to_the_cpu_is_read(said, left):
    made = parse_benchmark_output(GPU_PARTLY.replace(COMPLAINT, said))
    assert made.left_to_cpu == left


def test_standard_output_and_standard_error_come_in_any_order():
    lines = output("2021_gpu.txt").splitlines()
    messages = [line for line in lines if line.startswith("INFO:")]
    rest = [line for line in lines if not line.startswith("INFO:")]
    assert parse_benchmark_output("\n".join(messages + rest)) == parse_benchmark_output("\n".join(rest + messages))


REFUSED = {
    "failed_no_runs.txt": "no timed run",
    "failed_cut_off.txt": "lack",
    "failed_model.txt": "Failed to load model",
    "failed_delegate_beside_numbers.txt": "GATHER_ND: Operation is not supported",
    "failed_invoke_beside_numbers.txt": "Failed to clEnqueueNDRangeKernel",
    "failed_delegate_taken_away.txt": "delegate application failure",
    "failed_logcat.txt": "Didn't find op for builtin opcode 'GELU'",
    "failed_aborted.txt": "Aborted",
    "failed_wrong_abi.txt": "not executable: 64-bit ELF file",
}


@pytest.mark.parametrize("name", REFUSED)
def test_failures_are_told(name):
    with pytest.raises(HwnasError, match=REFUSED[name]):
        parse_benchmark_output(output(name))


def test_every_fixture_is_tried():
    assert {path.name for path in OUTPUTS.glob("*.txt")} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", [*READ, *REFUSED])
@given(data=st.data())
def test_a_truncated_output_is_read_or_refused(name, data):
    whole = output(name)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        made = parse_benchmark_output(cut)
    except HwnasError:
        return
    assert made.runs.count >= 1


@given(
    st.integers(1, 10**6),
    st.lists(st.integers(1, 10**8), min_size=4, max_size=4).map(sorted),
    st.booleans(),
    st.booleans(),
)
def test_statistics_are_read_back(count, times, with_quantiles, newest_first):
    """As C++ streams print them: averages with six digits, everything else in full."""
    low, middle, mean, high = times
    fields = [
        f"count={count}",
        f"first={middle}",
        f"curr={middle}",
        f"min={low}",
        f"max={high}",
        f"avg={mean:g}",
        "std=3",
    ]
    if newest_first:
        fields = [fields[2], fields[0], *fields[3:]]
    if with_quantiles:
        fields += [f"p5={low}", f"median={middle}", f"p95={high}"]
    read = parse_statistics(" ".join(fields))
    if count > 1:
        quantiles = (low, middle, high) if with_quantiles else (None, None, None)
        assert read == RunStatistics(count, float(f"{mean:g}"), low, high, 3, *quantiles)
    else:
        assert read.count == 1


@given(st.integers(1, 10**6), st.integers(1, 10**8))
def test_equal_runs_are_read_back(count, time_us):
    every = RunStatistics(count, time_us, time_us, time_us, 0, time_us, time_us, time_us)
    same = "(all same)" if count > 1 else ""
    assert parse_statistics(f"count={count} curr={time_us}{same}") == every
    assert parse_statistics(f"curr={time_us} count={count}{same}") == every


LINES = st.sampled_from([line for path in sorted(OUTPUTS.glob("*.txt")) for line in path.read_text().splitlines()])


@given(st.lists(LINES | st.text(max_size=80), max_size=30).map("\n".join) | st.text(max_size=500))
def test_garbage_is_refused_and_nothing_worse(text):
    try:
        parse_benchmark_output(text)
    except HwnasError:
        return


@given(st.from_regex(r"count=[-+0-9.eE]{1,30} curr=[-+0-9.eE]{1,400} avg=[-+0-9.eE]{1,30}", fullmatch=True))
def test_damaged_numbers_are_refused_and_nothing_worse(line):
    try:
        read = parse_statistics(line)
    except HwnasError:
        return
    assert read is None or read.mean_us > 0


@pytest.mark.parametrize("text", ["1.2.3", "1e999", "."])
def test_what_only_looks_like_a_number_is_refused(text):
    with pytest.raises(HwnasError, match="number"):
        number(text)
