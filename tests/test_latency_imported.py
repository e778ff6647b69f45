"""Published tables: what their rows become, what they do not, and that every block keeps its published number."""

import csv
import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.fitting.fit import fit
from hwnas.latency.fitting.held_out import evaluate
from hwnas.latency.tables.imported.import_table import PUBLISHED_FORMATS, import_table
from hwnas.latency.tables.imported.single_path import OUTSIDE_MS
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip

PAPER = get_space("single-path")
PUBLISHED = [0, 0, 0, 4, 3, 0, 0, 0, 3, 0, 0, 0, 3, 2, 2, 2, 3, 3, 3, 3]
KEY = "expanded_conv-input:14x14x80-output:14x14x{out}-expand:{e}-kernel:{k}-stride:1-idskip:{skip}"


@pytest.fixture(scope="module")
def latency_data(shared_data) -> Path:
    return shared_data / "latency"


@pytest.fixture(scope="module")
def pixel1(latency_data, tmp_path_factory) -> LatencyTable:
    """The Single-Path table as it is after a way through files."""
    found = import_table(latency_data / "pixel1_single_path.json", tables=tmp_path_factory.mktemp("tables"))
    return LatencyTable.load(found.folder)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# Single-Path NAS


@pytest.mark.parametrize(
    ("code", "ms"),
    [
        (PUBLISHED, 80.4411),
        ([0] * 20, 65.6914),
        ([1] * 20, 110.6524),
        ([2] * 20, 76.3622),
        ([3] * 20, 131.4578),
        ([0 if i % 4 == 0 else 4 for i in range(20)], 30.63),
    ],
)
def test_networks_of_single_path_cost_what_is_published(pixel1, code, ms):
    abs_ms = 5e-3 if ms == 30.63 else 1e-6  # of that one two decimals are known
    predictor = fit(pixel1, PAPER)
    assert predictor.predict(PAPER.decode(code)).ms == pytest.approx(ms, abs=abs_ms)
    assert fit(pixel1).predict(PAPER.decode(code)).ms == pytest.approx(ms, abs=abs_ms)


def test_the_largest_network_is_where_the_search_starts(pixel1):
    """E[R] in the warm-up, 131.46 ms, and the sums that a search decides by."""
    fixed_ms, costs = fit(pixel1, PAPER).decision_costs(PAPER)
    assert fixed_ms == pytest.approx(OUTSIDE_MS)
    assert fixed_ms + sum(cost[3] for cost in costs) == pytest.approx(131.4578, abs=1e-4)


def test_every_layer_of_single_path_has_its_published_number(pixel1, latency_data):
    layers_ms = json.loads((latency_data / "pixel1_single_path.json").read_text())["layers_ms"]
    predictor = fit(pixel1, PAPER)
    assert not pixel1.missing(PAPER)
    assert len(pixel1.layers) == 80
    for layer, node in enumerate(PAPER.nodes[2:22], start=1):
        shape = list(PAPER.positions())[layer + 1][1]
        for spec, ms in zip(node.candidates, layers_ms[layer], strict=False):
            assert predictor.cost_ms(spec, shape, place=layer + 1) == pytest.approx(ms, abs=1e-9)
    costs = predictor.decision_costs(PAPER)[1]
    for row, cost in zip(layers_ms[1:21], costs, strict=True):
        assert cost[:4].tolist() == pytest.approx(row, abs=1e-9)
        assert cost[4:].tolist() == [0.0] * (len(cost) - 4)


def test_a_predictor_with_layers_survives_its_file(pixel1, tmp_path):
    predictor = fit(pixel1)
    predictor.save(tmp_path / "predictor.json")
    again = AdditivePredictor.load(tmp_path / "predictor.json")
    assert again.digest == predictor.digest
    assert again.predict(PAPER.decode(PUBLISHED)).ms == pytest.approx(80.4411, abs=1e-6)
    assert fit(LatencyTable(pixel1.blocks)).digest != predictor.digest


def test_json_and_csv_of_single_path_are_one_table(latency_data, tmp_path):
    tables = [
        import_table(latency_data / f"pixel1_single_path.{kind}", tables=tmp_path / kind).table
        for kind in ("json", "csv")
    ]
    assert tables[0].blocks == tables[1].blocks
    assert tables[0].layers == tables[1].layers


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"layers_ms": [[1, 2, 3, 4]]}', "22 rows of 4"),
        (json.dumps({"layers_ms": [[1, 2, 3, 4]] * 21 + [[1, 2, 3, "x"]]}), "'x'.*is no latency"),
        (json.dumps({"layers_ms": [[1, 2, 3, 4]] * 21 + [[1, 2, 3, -4]]}), "is no latency"),
        ('{"layers_ms": 3}', "22 rows of 4"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text, rule):
    with pytest.raises(HwnasError, match=rule):
        import_table(write(tmp_path / "table.json", text), tables=tmp_path)
    assert not (tmp_path / "pixel-1").exists()


# the other formats


def rows_of(path: Path) -> list[dict[str, str]]:
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rt") as file:
        return list(csv.DictReader(file))


def test_every_row_of_proxylessnas_keeps_its_number(latency_data, tmp_path):
    path = latency_data / "proxylessnas_pixel1_lut.csv"
    found = import_table(path, tables=tmp_path)
    assert found.folder == tmp_path / "pixel-1" / "proxylessnas"
    assert (found.rows, found.mapped, sum(found.unmapped.values())) == (72, 71, 1)
    predictor = fit(LatencyTable.load(found.folder))
    for row in rows_of(path):
        shape = (int(row["in_ch"]), int(row["in_h_px"]), int(row["in_w_px"]))
        if row["op"] == "expanded_conv":
            sizes = (int(row[name]) for name in ("in_ch", "out_ch", "kernel", "expand_ratio", "stride"))
            spec = MBConv(*sizes, activation="relu6")
        elif row["op"] == "Logits":
            continue
        else:
            kernel, stride = {"Conv": (3, 2), "Conv_1": (1, 1)}[row["op"]]
            spec = Conv(int(row["in_ch"]), int(row["out_ch"]), kernel, stride, "relu6")
        assert spec.output_shape(shape)[1] == int(row["out_h_px"])
        assert predictor.cost_ms(spec, shape) == pytest.approx(float(row["mean_ms"]), rel=1e-12)


def test_every_row_of_once_for_all_keeps_its_number(latency_data, tmp_path):
    rows = [row for row in rows_of(latency_data / "ofa_note10_lut.csv") if row["resolution_px"] == "224"]
    text = "\n".join(f"{r['key']}:\n  count: {r['count']}\n  mean: {r['mean_ms']}\n  std: {r['std_ms']}" for r in rows)
    found = import_table(write(tmp_path / "224_lookup_table.yaml", text), tables=tmp_path)  # as the authors publish it
    assert found.folder == tmp_path / "galaxy-note10" / "once-for-all"
    assert (found.rows, found.mapped, len(found.table.blocks)) == (96, 94, 94)
    for row in rows:
        if row["op"] != "expanded_conv":
            continue
        channels, expanded = int(row["in_ch"]), int(row["expand_ch"])
        spec = MBConv(
            channels,
            int(row["out_ch"]),
            int(row["kernel"]),
            expanded // channels,
            int(row["stride"]),
            "hard_swish" if row["hswish"] == "1" else "relu",
            0.25 if row["se"] == "1" else 0.0,
        )
        latency = found.table.blocks[spec, (channels, int(row["in_h_px"]), int(row["in_w_px"]))]
        assert latency.median_ms == float(row["mean_ms"])
        assert latency.runs == int(row["count"])
        assert latency.p95_ms == pytest.approx(float(row["mean_ms"]) + 1.645 * float(row["std_ms"]))


def test_rows_of_several_image_sizes_that_are_one_block_have_their_mean(latency_data, tmp_path):
    found = import_table(latency_data / "ofa_note10_lut.csv", tables=tmp_path)
    assert (found.rows, found.mapped) == (480, 470)
    assert len(found.table.blocks) < 470
    assert any(f"{470 - len(found.table.blocks)} rows" in note for note in found.table.conditions["imported"]["notes"])
    same = [row for row in rows_of(latency_data / "ofa_note10_lut.csv") if row["op"] == "Conv_2"]
    total = sum(float(row["mean_ms"]) * int(row["count"]) for row in same)
    spec = Conv(1152, 1536, kernel=1, activation="hard_swish")
    expected = total / sum(int(row["count"]) for row in same)
    assert found.table.block_ms(spec, (1152, 1, 1)) == pytest.approx(expected)


@pytest.mark.parametrize("device", ["pixel-1", "pixel-4", "xiaomi-11"])
def test_every_row_of_nn_meter_that_is_a_block_keeps_its_number(latency_data, tmp_path, device):
    path = latency_data / "nnmeter_block_lut.csv.gz"
    found = import_table(path, device, tmp_path)
    assert found.folder == tmp_path / device / "nn-meter"
    assert (found.rows, found.mapped, len(found.table.blocks)) == (1788, 588, 588)
    column, unmapped = f"{device.replace('-', '')}_ms", 0
    for row in rows_of(path):
        c, out, hw, kernel, e, s = (int(row[n]) for n in ("cin", "cout", "hw", "kernel", "expand", "stride"))
        spec = MBConv(c, out, kernel, e, s, row["act"], 0.25 if row["se"] == "1" else 0.0)
        if c == out and (row["se"] == "0" or spec.squeezed_channels == c * e // 4):
            assert found.table.block_ms(spec, (c, hw, hw)) == float(row[column])
        else:
            assert (spec, (c, hw, hw)) not in found.table.blocks
            unmapped += 1
    assert unmapped == sum(found.unmapped.values()) == 1200


def test_the_json_of_one_phone_needs_its_name(tmp_path):
    keys = {"conv_56_24_24_6_1_hard_swish_3_nose": 1.5, "firstconv_224_3_16_2_3": 1.2, "mbpool_7_320_1984_6_x": 2.0}
    path = write(tmp_path / "phone.json", json.dumps(keys))
    with pytest.raises(UsageError, match="--device"):
        import_table(path, tables=tmp_path)
    found = import_table(path, "my-phone", tmp_path)
    assert (found.mapped, sum(found.unmapped.values())) == (1, 2)
    assert found.table.block_ms(MBConv(24, 24, 3, 6, activation="hard_swish"), (24, 56, 56)) == 1.5


def test_a_phone_without_a_column_is_refused(latency_data, tmp_path):
    with pytest.raises(UsageError, match="pixel1, pixel4, xiaomi11"):
        import_table(latency_data / "nnmeter_block_lut.csv.gz", "pixel-8", tmp_path)


def test_what_is_no_spec_is_counted_with_the_reason(tmp_path):
    keys = {
        KEY.format(out=80, e=3, k=3, skip=1): 1.0,
        KEY.format(out=80, e=3, k=5, skip=0): 2.0,  # without the residual connection
        "Logits-input:7x7x1280-output:1000": 3.0,
    }
    text = json.dumps({key: {"mean": ms, "count": 9} for key, ms in keys.items()})
    found = import_table(write(tmp_path / "lut.json", text), tables=tmp_path)
    assert found.mapped == 1
    assert set(found.unmapped.values()) == {1}
    assert any("residual" in reason for reason in found.unmapped)


@settings(max_examples=25)
@given(
    rows=st.dictionaries(
        st.tuples(
            st.sampled_from([16, 24, 40]),
            st.sampled_from([16, 24, 40]),
            st.sampled_from([3, 6]),
            st.sampled_from([3, 5, 7]),
            st.sampled_from([1, 2]),
        ),
        st.tuples(st.floats(1e-6, 1e6), st.integers(1, 10**6)),
        min_size=1,
        max_size=20,
    )
)
def test_any_table_of_blocks_comes_back_number_for_number(tmp_path_factory, rows):
    folder, text = tmp_path_factory.mktemp("any"), {}
    for (channels, outputs, expand, kernel, stride), (ms, count) in rows.items():
        skip = int(channels == outputs and stride == 1)
        ends = f"input:28x28x{channels}-output:{28 // stride}x{28 // stride}x{outputs}"
        key = f"expanded_conv-{ends}-expand:{expand}-kernel:{kernel}-stride:{stride}-idskip:{skip}"
        text[key] = {"mean": ms, "count": count}
    found = import_table(write(folder / "lut", json.dumps(text)), "phone", folder)
    table = LatencyTable.load(found.folder)
    assert len(table.blocks) == len(rows)
    predictor = fit(table)
    for (channels, outputs, expand, kernel, stride), (ms, count) in rows.items():
        block = (MBConv(channels, outputs, kernel, expand, stride, "relu6"), (channels, 28, 28))
        assert (table.blocks[block].median_ms, table.blocks[block].runs) == (ms, count)
        assert predictor.cost_ms(*block) == ms


# conditions


def test_conditions_name_the_source_and_what_is_unknown(pixel1, latency_data):
    told = pixel1.conditions["imported"]
    file = latency_data / "pixel1_single_path.json"
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told["file"] == file.name
    assert "1904.02877" in told["publication"]
    assert told["licence"] == "Apache-2.0"
    identity = pixel1.conditions["identity"]
    assert (identity["threads"], identity["cores"]) == (1, [3])
    assert identity["runtime_version"] is None
    assert {"runtime_version", "precision", "date"} <= set(told["unknown"])
    assert pixel1.publication == told["publication"]
    assert LatencyTable().publication is None


def test_the_card_of_an_imported_table_says_that_it_is_not_evaluated(pixel1):
    card = evaluate(fit(pixel1), pixel1)
    assert (card.n_networks, card.mape) == (0, None)
    assert "not evaluated" in card.protocol


def test_imported_twice_it_is_the_same_table_and_another_file_is_refused(latency_data, tmp_path):
    first = import_table(latency_data / "pixel1_single_path.json", tables=tmp_path)
    again = import_table(latency_data / "pixel1_single_path.json", tables=tmp_path)
    assert first.table.conditions == again.table.conditions
    changed = json.loads((latency_data / "pixel1_single_path.json").read_text())
    changed["layers_ms"][5][0] += 1
    other = write(tmp_path / "changed.json", json.dumps(changed))
    with pytest.raises(HwnasError, match="never mixed"):
        import_table(other, tables=tmp_path)
    assert LatencyTable.load(first.folder).layers == first.table.layers


def test_a_measured_table_is_not_overwritten(latency_data, tmp_path):
    spec, shape = PAPER.nodes[0], PAPER.input_shape
    measured = import_table(latency_data / "pixel1_single_path.json", tables=tmp_path).table
    folder = tmp_path / "pixel-1" / "proxylessnas"
    LatencyTable({(spec, shape): measured.blocks[spec, shape]}, conditions={"identity": {}}).save(folder)
    with pytest.raises(HwnasError, match="a measured table"):
        import_table(latency_data / "proxylessnas_pixel1_lut.csv", tables=tmp_path)


# files of any kind


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("text", b"hello"),
        ("number.json", b"[1, 2]"),
        ("other.json", b'{"a": {"b": 1}}'),
        ("other.csv", b"a,b\n1,2\n"),
        ("list.yaml", b"- 1\n- 2\n"),
    ],
)
def test_an_unknown_file_gets_the_formats_with_an_example(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(HwnasError) as error:
        import_table(tmp_path / name, tables=tmp_path)
    for known, format in PUBLISHED_FORMATS.items():
        assert known in str(error.value)
        assert format.example in str(error.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xfe\x00", "damaged"),
        (b"\x1f\x8b broken", "damaged"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"key: [1, 2\n", "no JSON"),
        (b"!!python/object/apply:os.system [id]\n", "no JSON"),
    ],
)
def test_a_broken_or_hostile_file_is_refused(tmp_path, data, reason):
    (tmp_path / "table").write_bytes(data)
    with pytest.raises(HwnasError, match=reason):
        import_table(tmp_path / "table", tables=tmp_path)


def test_a_missing_file_and_a_packed_giant_are_refused(tmp_path):
    with pytest.raises(HwnasError, match="there is no file"):
        import_table(tmp_path / "nothing.json", tables=tmp_path)
    (tmp_path / "giant").write_bytes(gzip.compress(b" " * (64 * 2**20 + 1)))
    with pytest.raises(HwnasError, match="larger than 64 MiB"):
        import_table(tmp_path / "giant", tables=tmp_path)


@pytest.mark.parametrize("device", ["../up", "a/b", ".hidden", ""])
def test_a_device_is_a_folder_name_and_nothing_else(latency_data, tmp_path, device):
    tables = tmp_path / "tables"
    if device == "":
        assert import_table(latency_data / "pixel1_single_path.json", device, tables).folder.parent.name == "pixel-1"
        return
    with pytest.raises(HwnasError, match="cannot name the folder"):
        import_table(latency_data / "pixel1_single_path.json", device, tables)
    assert not tables.exists()


def test_what_a_file_is_called_does_not_matter(latency_data, tmp_path):
    shutil.copy(latency_data / "nnmeter_block_lut.csv.gz", tmp_path / "table.yaml")
    assert import_table(tmp_path / "table.yaml", "pixel-4", tmp_path).mapped == 588


def test_blocks_are_plain_specs(pixel1):
    kinds = {type(spec) for spec, _ in pixel1.blocks}
    assert kinds == {Conv, MBConv, Head}
    assert Skip(24, 24).is_identity
    assert pixel1.block_ms(Skip(24, 24), (24, 56, 56)) == 0.0
