"""Published cells in files: what PyTorch computes, in one partition."""

import pytest
import torch

from hwnas.child import build_child
from hwnas.exporter.export import export
from hwnas.inspection.examine import examine
from hwnas.spaces import get_space
from tests.export_networks import trained
from tests.test_spaces_darts import CDARTS_CIFAR, DARTS_V2, NASNET, PC_DARTS_CIFAR, SNAS_AGGRESSIVE
from tests.weekly import weekly_except

CELLS = {
    "darts": DARTS_V2,
    "cdarts": CDARTS_CIFAR,
    "pc-darts": PC_DARTS_CIFAR,
    "snas-aggressive": SNAS_AGGRESSIVE,
    "nasnet": NASNET,
}
IMAGENET = ("darts", {"resolution": 64, "stem": "imagenet"})


@pytest.mark.parametrize(
    ("name", "options"),
    weekly_except(
        [("darts", {"resolution": 16}), ("nasnet", {"resolution": 16}), IMAGENET],
        [
            *((name, {"resolution": 16}) for name in CELLS),
            IMAGENET,
            ("cdarts", {"resolution": 16, "convention": "darts"}),
        ],
    ),
)
def test_published_cells_are_exported_in_one_partition(name, options, tmp_path):
    torch.manual_seed(0)
    space = get_space("darts", cells=4, channels=8, **options)
    child = trained(build_child(space.decode(CELLS[name])))
    models = export(child, tmp_path, input_shape=(1, *space.input_shape))
    assert {model.path.suffix for model in models} == {".tflite", ".onnx"}
    assert all(0 < model.parity.worst <= 1e-5 for model in models)
    tflite = next(model.path for model in models if model.path.suffix == ".tflite")
    execution = examine(tflite).execution
    assert (execution.partitions, execution.outside) == (1, ())
