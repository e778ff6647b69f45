"""The table of operators is read the same from text and CSV, old and new; and it adds up to the inference."""

from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import HwnasError
from hwnas.runners.benchmark_output import parse_benchmark_output
from hwnas.runners.operator_profile import OperatorProfile, OperatorTime, parse_operators

OUTPUTS = Path(__file__).parent / "benchmark_outputs"


def profile(name: str) -> OperatorProfile:
    text = (OUTPUTS / name).read_text()
    inference_ms = parse_benchmark_output(text).runs.mean_us / 1000
    return OperatorProfile(parse_operators(text), inference_ms, inference_ms)


def test_a_table_of_2019_has_no_heading_and_no_index():
    first, second = profile("2019_profiled.txt").operators
    assert first == OperatorTime("CONV_2D", "[MobilenetV2/Conv/Relu6]", 7.237, 6.297, 1)
    assert second.type == "DEPTHWISE_CONV_2D"


def test_the_table_of_the_initialisation_is_not_taken():
    made = profile("2020_desktop_profiled.txt")
    assert [operator.type for operator in made.operators] == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    assert made.operators[1].name == "[MobilenetV1/MobilenetV1/Conv2d_1_depthwise/Relu6]:1"
    assert made.operators_ms == pytest.approx(15.167)
    assert made.outside_percent == pytest.approx(100 * (1 - 15.167 / 15.1702))


def test_kernels_that_run_several_times_count_as_often():
    """XNNPACK's names hold commas and spaces, and one row can stand for 13 calls."""
    made = profile("2025_xnnpack_profiled.txt")
    assert [operator.times_called for operator in made.operators] == [1, 1, 13, 2]
    assert made.operators[2].type == "Convolution (NHWC, QC8) DWConv"
    assert made.operators[2].name == "Delegate/Convolution (NHWC, QC8) DWConv:1"
    assert made.operators_ms == pytest.approx(1.529, abs=1e-9)
    assert 0 < made.outside_percent < 2
    shares = [100 * operator.per_inference_ms / made.operators_ms for operator in made.operators]
    assert shares == pytest.approx([operator.percent for operator in made.operators], abs=0.05)


def test_profiling_is_told_apart_from_the_latency():
    made = OperatorProfile((OperatorTime("CONV_2D", "c", 1.0, 100.0, 1),), profiled_ms=1.1, inference_ms=1.0)
    assert made.profiling_percent == pytest.approx(10)
    assert made.to_json()["operators"] == [
        {"type": "CONV_2D", "name": "c", "average_ms": 1.0, "percent": 100.0, "times_called": 1}
    ]


def test_csv_files_of_both_kinds_are_read():
    first, second = parse_operators((OUTPUTS / "2020_profile.csv").read_text())
    assert first == OperatorTime("CONV_2D", "[sequential_11/conv2d_33/Conv2D]:0", 0.0930388, 75.5633, 1)
    assert second.name == "[sequential_11/conv2d_33/Elu;add]:1"
    igemm, gemm, add = parse_operators((OUTPUTS / "2025_profile.csv").read_text())
    assert igemm.type == "Convolution (NHWC, F32) IGEMM"
    assert igemm.name == "Delegate/Convolution (NHWC, F32) IGEMM:0"
    assert gemm == OperatorTime("Fully Connected (NC, F32) GEMM", "", 6.2e-05, 0.123, 2)
    assert add.average_ms == 0.247938


def test_tables_that_lost_their_tabs_in_copying_are_read():
    text = (OUTPUTS / "2025_xnnpack_profiled.txt").read_text()
    assert parse_operators(text.replace("\t", "   ")) == parse_operators(text)


WORD = st.text("ABCXYZabcxyz_/()[]-", min_size=1, max_size=12)
"""No digits: a type such as ``Conv, 3`` could not be told from a column of numbers."""
PHRASE = st.tuples(st.sampled_from([" ", ", "]), st.lists(WORD, min_size=1, max_size=4)).map(lambda p: p[0].join(p[1]))
TYPE = st.tuples(st.sampled_from("CDAF"), PHRASE).map("".join)
MILLISECONDS = st.integers(0, 10**7).map(lambda us: us / 1000)
ROWS = st.lists(st.tuples(TYPE, MILLISECONDS, st.integers(1, 40), PHRASE), min_size=1, max_size=6)


def rendered(rows, as_csv: bool, with_start: bool, index: bool) -> str:
    """The table as stats_calculator.cc writes it: once in order, once by time."""
    titles = ["node type", "start", "first", "avg_ms", "%", "cdf%", "mem KB", "times called", "name"]
    if not as_csv:
        titles = [f"[{title.replace('_', ' ')}]" for title in titles]
    total = sum(time * calls for _, time, calls, _ in rows) or 1
    percents = [100 * time * calls / total for _, time, calls, _ in rows]
    lines = []
    for (type, time, calls, name), percent, reached in zip(rows, percents, accumulate(percents), strict=True):
        name = f"{name}:{len(lines)}" if index else name
        if as_csv:
            name = name.replace(",", "\t")
        cells = [
            type,
            "0.000",
            f"{time:.3f}",
            f"{time:.3f}",
            f"{percent:.3f}%",
            f"{reached:.3f}%",
            "0.000",
            str(calls),
            name,
        ]
        lines.append(cells)
    table = [titles, *lines]
    if not with_start:
        table = [cells[:1] + cells[2:] for cells in table]
    texts = [", ".join(cells) if as_csv else "\t" + "\t".join(f"{cell:>9}" for cell in cells) for cells in table]
    bar = "=" * 30
    heading = "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:"
    blocks = [f"{bar} Run Order {bar}", *texts, "", f"{bar} Top by Computation Time {bar}", texts[0], *texts[:0:-1], ""]
    return "\n".join([heading, *blocks])


@given(ROWS, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_a_table_is_read_back_from_every_form(rows, as_csv, with_start, index, newline):
    read = parse_operators(rendered(rows, as_csv, with_start, index).replace("\n", newline))
    expected = [
        (type, round(time, 3), calls, f"{name}:{i}" if index else name)
        for i, (type, time, calls, name) in enumerate(rows)
    ]
    assert [(row.type, row.average_ms, row.times_called, row.name) for row in read] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n",
        "=== Run Order ===\nnode type, first, avg_ms, %, cdf%, mem KB, times called, name\n",
    ],
)
def test_no_table_is_told(text):
    with pytest.raises(HwnasError, match="no table of operators"):
        parse_operators(text)


@pytest.mark.parametrize(
    "row",
    [
        "CONV_2D, 0.1, x, 1%, 1%, 0, 1, a",
        "CONV_2D, 0.1",
        "CONV_2D, 0.1, 1e999, 1%, 1%, 0, 1, a",
        "C, 0, -1, 1%, 1%, 0, 1, a",
    ],
)
def test_a_damaged_row_is_told(row):
    with pytest.raises(HwnasError, match="damaged"):
        parse_operators(f"=== Run Order ===\nnode type, first, avg_ms, %, cdf%, mem KB, times called, name\n{row}\n")


def test_unknown_columns_are_told():
    with pytest.raises(HwnasError, match="unknown columns"):
        parse_operators("=== Run Order ===\nnode type, milliseconds, name\nCONV_2D, 1, a\n")


LINES = st.sampled_from([line for path in sorted(OUTPUTS.iterdir()) for line in path.read_text().splitlines()])


@given(st.lists(LINES | st.text(max_size=60), max_size=25).map("\n".join) | st.text(max_size=300))
def test_garbage_is_refused_and_nothing_worse(text):
    try:
        parse_operators(text)
    except HwnasError:
        return
