"""The .onnx file itself, with PyTorch's own exporter as the oracle."""

from __future__ import annotations

import io
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.runtimes import get_runtime
from tests.export_networks import InvertedResidual, MobileNetV2, trained

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

BLOCK, SHAPE = (trained(InvertedResidual(8, 8, 1, 3)), (1, 8, 14, 14))


def by_torch(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """What `torch.onnx` writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (torch.zeros(shape),), file, dynamo=False, opset_version=17)
    return file.getvalue()


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (BLOCK, SHAPE),
        (trained(InvertedResidual(8, 12, 2, 6, kernel=7)), (1, 8, 15, 14)),
        (trained(MobileNetV2()), (1, 3, 64, 64)),
    ],
    ids=["residual block", "strided block", "MobileNetV2"],
)
def test_agrees_with_pytorchs_own_exporter(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    ours, theirs = (
        get_runtime("onnxruntime").load(model, threads=1).run(x)
        for model in (convert(module, shape, "onnx"), by_torch(module, shape))
    )
    assert relative_error(ours, theirs) <= LIMIT


def test_the_file_is_valid_old_enough_for_others_and_named() -> None:
    model = onnx.load_from_string(convert(BLOCK, SHAPE, "onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "hwnas")
    assert [end.name for end in (*model.graph.input, *model.graph.output)] == ["input", "output"]
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == list(SHAPE)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Clip", "Conv", "Clip", "Conv", "Add"]
    assert [node.name for node in model.graph.node][:3] == ["layers.0", "layers.0.relu6", "layers.3"]


def test_equal_networks_give_equal_bytes() -> None:
    torch.manual_seed(1)
    first = convert(trained(InvertedResidual(8, 8, 2, 3)), SHAPE, "onnx")
    torch.manual_seed(1)
    second = convert(trained(InvertedResidual(8, 8, 2, 3)), SHAPE, "onnx")
    assert first == second


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # what an import finds where a package is missing
    with pytest.raises(HwnasError, match=r"pip install 'hwnas\[onnx\]'"):
        convert(BLOCK, SHAPE, "onnx")
