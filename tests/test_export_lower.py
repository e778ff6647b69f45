"""PyTorch modules -> Graph: what comes out, what is refused and in which words, and that the module stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.graph.lower import lower
from tests.export_networks import Function, InvertedResidual, MobileNetV2, trained

IMAGE = (1, 4, 8, 8)


def kinds(module: nn.Module, shape: tuple[int, ...] = IMAGE) -> list[str]:
    return [operator.kind for operator in lower(module, shape).operators]


def test_an_inverted_residual_is_four_operators() -> None:
    graph = lower(InvertedResidual(4, 4, stride=1, expand=6), IMAGE)
    assert [(operator.kind, operator.activation) for operator in graph.operators] == [
        ("conv", "relu6"),
        ("depthwise_conv", "relu6"),
        ("conv", None),
        ("add", None),
    ]
    assert [operator.name for operator in graph.operators] == ["layers.0", "layers.3", "layers.6", "add"]
    assert graph.operators[0].output.name == "layers.2"
    assert (graph.input.name, graph.output.name) == ("input", "output")
    assert graph.output.shape == IMAGE


def test_mobilenet_v2_has_the_published_macs_and_parameters() -> None:
    network = MobileNetV2()
    graph = lower(network, (1, 3, 224, 224))
    assert graph.macs == 300_774_272
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_504_872
    # Folding leaves one bias per channel where batch norm had two parameters.
    channels = sum(layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert graph.weight_bytes == 4 * (3_504_872 - channels)
    assert graph.output.shape == (1, 1000)
    assert len({operator.name for operator in graph.operators}) == len(graph.operators) == 65


def test_a_layer_that_is_called_twice_gets_two_names() -> None:
    conv = nn.Conv2d(4, 4, 1)
    graph = lower(nn.Sequential(conv, conv), IMAGE)
    assert [operator.name for operator in graph.operators] == ["0", "0_1"]
    assert graph.operators[0].output == graph.operators[1].inputs[0]


def test_layers_called_input_and_output_do_not_clash_with_the_ends() -> None:
    network = nn.Sequential()
    network.add_module("input", nn.Conv2d(4, 4, 1))
    network.add_module("output", nn.Conv2d(4, 4, 1))
    first, second = lower(network, IMAGE).operators
    assert first.inputs[0].name == "input" != first.output.name
    assert second.inputs[0] == first.output
    assert second.output.name == "output"


def test_dropout_and_identity_leave_nothing() -> None:
    network = nn.Sequential(nn.Identity(), nn.Dropout(0.5), nn.Conv2d(4, 4, 1), nn.Dropout2d(0.5), nn.ReLU())
    assert kinds(network) == ["conv"]
    assert kinds(Function(lambda self, x: F.relu(F.dropout(x, 0.5, training=False)))) == ["activation"]
    assert kinds(nn.Identity()) == []


@pytest.mark.parametrize(
    "add", [lambda self, x: x + F.relu(x), lambda self, x: torch.add(x, F.relu(x)), lambda self, x: x.add(x.relu())]
)
def test_every_way_to_write_an_addition(add) -> None:
    assert kinds(Function(add)) == ["activation", "add"]


@pytest.mark.parametrize(
    "pool",
    [
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()),
        Function(lambda self, x: torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)),
        Function(lambda self, x: F.adaptive_avg_pool2d(x, output_size=(1, 1)).flatten(start_dim=1)),
        Function(lambda self, x: x.mean((2, 3))),
        Function(lambda self, x: x.mean(dim=[-1, -2])),
        Function(lambda self, x: torch.mean(x, (2, 3), keepdim=True).flatten(1)),
    ],
)
def test_every_way_to_write_global_average_pooling(pool) -> None:
    graph = lower(pool, IMAGE)
    assert [operator.kind for operator in graph.operators] == ["global_average_pool", "flatten"]
    assert graph.output.shape == (1, 4)


def test_padding_as_numbers_and_as_a_word() -> None:
    for padding, expected in ((1, (1, 1)), ((2, 1), (2, 1)), ("same", (1, 1)), ("valid", (0, 0))):
        (operator,) = lower(nn.Conv2d(4, 8, 3, padding=padding), IMAGE).operators
        reference = nn.Conv2d(4, 8, 3, padding=padding)(torch.zeros(IMAGE))
        assert operator.padding == tuple((size, size) for size in expected)
        assert operator.output.shape == tuple(reference.shape)


def test_one_input_channel_is_dense_and_one_per_group_is_depthwise() -> None:
    assert kinds(nn.Conv2d(1, 4, 3), (1, 1, 8, 8)) == ["conv"]
    assert kinds(nn.Conv2d(4, 4, 3, groups=4)) == ["depthwise_conv"]


def test_the_module_is_left_as_it_was() -> None:
    network = nn.Sequential(trained(InvertedResidual(4, 4, 1, 6)), nn.Dropout(0.5))
    network.train()
    network[0].layers[1].eval()  # one layer is frozen, as in fine-tuning
    before, modes = copy.deepcopy(network.state_dict()), [layer.training for layer in network.modules()]
    lower(network, IMAGE)
    assert [layer.training for layer in network.modules()] == modes
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_graph_does_not_follow_later_training() -> None:
    layer = nn.Linear(3, 2)
    (operator,) = lower(layer, (1, 3)).operators
    before = operator.weight.copy()
    with torch.no_grad():
        layer.weight.add_(1)
    assert (operator.weight == before).all()


def test_weights_of_other_precision_become_float32() -> None:
    (operator,) = lower(nn.Conv2d(4, 4, 1).to(torch.bfloat16), IMAGE).operators
    assert operator.weight.dtype == operator.bias.dtype == "float32"


def test_an_unsupported_layer_is_named_with_its_path_and_what_is_supported() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.Mish()))
    with pytest.raises(HwnasError) as error:
        lower(network, IMAGE)
    message = str(error.value)
    assert "Mish '1.0'" in message
    assert "functions adaptive_avg_pool1d, adaptive_avg_pool2d" in message
    with pytest.raises(HwnasError, match=r"cannot export mish '0\.mish'"):
        lower(nn.Sequential(Function(lambda self, x: F.mish(x))), IMAGE)


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class OwnConv(nn.Conv2d):
    """A subclass may compute anything: it must not be taken for the layer that it derives from."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class OptionalInput(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.relu() if mask is None else x * mask


def test_a_layer_of_the_users_own_is_what_its_forward_method_does() -> None:
    layer = OwnConv(4, 4, 1)
    (operator,) = lower(layer, IMAGE).operators
    assert torch.equal(torch.from_numpy(operator.weight), 2 * layer.weight.detach())
    assert kinds(OptionalInput()) == ["activation"]


def in_halves(self: Function, x: Tensor) -> Tensor:
    first, _second = x.chunk(2, dim=1)
    first.relu_()
    return x + 1


def flattened(self: Function, x: Tensor) -> Tensor:
    features = x.flatten(1)
    features += 1
    return x


@pytest.mark.parametrize("change", [in_halves, flattened])
def test_what_was_changed_through_a_view_is_not_read_any_more(change) -> None:
    """PyTorch sees the change in `x`; a file that did not would compute something else."""
    with pytest.raises(HwnasError, match="changed by an in-place operation on a view of it"):
        lower(Function(change), IMAGE)


def test_a_view_that_is_changed_in_place_is_fine_if_nothing_else_is_read() -> None:
    assert kinds(Function(lambda self, x: F.relu(x.flatten(1), inplace=True))) == ["flatten", "activation"]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(4, 4, 9), "larger than its padded input"),
        (nn.Conv2d(3, 4, 3), "takes 3 channels and gets 4"),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)), "no running statistics"),
        (nn.BatchNorm2d(5), "is for 5 channels and gets 4"),
        (nn.ConvTranspose2d(4, 4, 2), "cannot export ConvTranspose2d 'convtranspose2d': no lowering"),
        (nn.LayerNorm((4, 8, 8)), "cannot export LayerNorm"),
        (nn.AdaptiveAvgPool2d(3), r"output_size must be 1 or divide the input size \(8, 8\), not \(3, 3\)"),
        (nn.MaxPool2d(9), "window is larger than its padded input"),
        (nn.MaxPool2d(2, dilation=2), "dilation must be 1"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor_override must be None"),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True), "ceil_mode together with padding"),
        (nn.Flatten(0), "start_dim=1, not start_dim=0"),
        (nn.Linear(4, 2), r"must have shape \(N, 4\)"),
        (nn.ELU(alpha=0.5), "alpha must be 1"),
        (nn.Softmax(2), "over the channels, dim=1, not dim=2"),
        (nn.Upsample(scale_factor=2, mode="bicubic"), "mode must be 'nearest', 'nearest-exact' or 'bilinear'"),
        (nn.Upsample(scale_factor=1.3, mode="bilinear"), "must give whole numbers of pixels"),
        (Function(lambda self, x: x + torch.ones(3, 1, 1)), r"a constant of shape \(3, 1, 1\) must fit"),
        (Function(lambda self, x: x + x.flatten(1)), "as many dimensions"),
        (Function(lambda self, x: x + x[:, :2]), "do not fit each other"),
        (Function(lambda self, x: x / x.relu()), "divisions by a number or a parameter"),
        (Function(lambda self, x: x**3), "only squares are supported, not the power 3"),
        (Function(lambda self, x: torch.add(x, x, alpha=2)), "alpha must be 1"),
        (Function(lambda self, x: x.mean()), r"dim=\(2, 3\), or one of them, .* not over dim=None"),
        (Function(lambda self, x: x.amax((1, 2))), r"dim=\(2, 3\), or one of them, .* not over dim=\(1, 2\)"),
        (Function(lambda self, x: x.clone().__setitem__((0, 0), 1.0)), "put the tensor together with torch.cat"),
        (Function(lambda self, x: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))), "only channels, height and width can be padded"),
        (Function(lambda self, x: x.clamp(2, 1)), "one number or two rising ones, not 2 and 1"),
        (Function(lambda self, x: F.dropout(x, 0.5)), "training=self.training"),
        (Function(lambda self, x: F.relu(x.transpose(2, 3))), "is a view of shape"),
        (Function(lambda self, x: x.permute(0, 2, 3, 1)), "is a view of shape"),
        (Function(lambda self, x: x.view(1, 3, -1)), "does not fit its input of shape"),
        (Function(lambda self, x: torch.cat([x, x], 2)), "along their channels, dim=1, not dim=2"),
        (Function(lambda self, x: torch.stack([x, x])), "cannot export stack 'stack': no lowering"),
        (Function(lambda self, x: x if x > 0 else -x), "cannot export gt"),
        (Function(lambda self, x: x if x else -x), "cannot export bool .bool.: it makes Python values of the numbers"),
        (Function(lambda self, x: x.undefined()), "has no attribute .undefined.* test_export_lower.py, line"),
        (Function(lambda self, x: {}["no"]), "cannot be traced .'no'"),
        (Function(lambda self, x: (x, x)), "must return one tensor"),
        (Function(lambda self, x: torch.zeros(1)), "must return one tensor"),
        (Function(lambda self, x: x * float(x.mean((2, 3))[0, 0])), "Python values of the numbers in the image"),
        (Function(lambda self, x: x * x.detach().numpy().mean()), "Python values of the numbers in the image"),
        (Function(lambda self, x: x if torch.equal(x, x + 1) else -x), "Python values of the numbers in the image"),
        (Function(torch.autocast("cpu")(lambda self, x: x.relu())), "autocast computes in another type"),
        (Function(lambda self, x: x.half()), "files compute in float32, not in torch.float16"),
        (Function(lambda self, x: torch.relu(x.double())), "files compute in float32, not in torch.float64"),
        (Function(lambda self, x: torch.add(x, 1, out=torch.empty(IMAGE))), "writes into another tensor"),
        (torch.jit.script(nn.Conv2d(4, 4, 1)), "Conv2d: it is TorchScript .* Export the module that it was made from"),
        (nn.Sequential(nn.LazyConv2d(4, 1)), "lazy layers .* Call it once on an image"),
        (nn.Conv2d(4, 4, 1, device="meta"), "on the meta device"),
        (TwoInputs(), "it must take one input, the image, not .'x', 'y'."),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(module: nn.Module, message: str) -> None:
    with pytest.raises(HwnasError, match=message):
        lower(module, IMAGE)


def test_the_path_of_a_layer_inside_is_in_the_message() -> None:
    inner = nn.ModuleDict({"pool": nn.MaxPool2d(9)})
    network = nn.Sequential(nn.ReLU(), Function(lambda self, x: self.layers["pool"](x), layers=inner))
    with pytest.raises(HwnasError, match=r"cannot export MaxPool2d '1\.layers\.pool'"):
        lower(network, IMAGE)


def test_a_refusal_names_the_line_that_makes_the_call() -> None:
    with pytest.raises(HwnasError) as error:
        lower(nn.Sequential(nn.ReLU(), Function(lambda self, x: F.mish(x) + 1)), IMAGE)
    assert __file__ in str(error.value)
    assert str(error.value).endswith("lower(nn.Sequential(nn.ReLU(), Function(lambda self, x: F.mish(x) + 1)), IMAGE)")


def test_what_is_no_module_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"torch\.nn\.Module, not a dict"):
        lower(dict(nn.Conv2d(4, 4, 1).state_dict()), IMAGE)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 0, 8), (1, 3, 8.0, 8)])
def test_a_shape_that_is_none_is_a_usage_error(shape) -> None:
    with pytest.raises(UsageError, match="input_shape must be"):
        lower(nn.ReLU(), shape)
