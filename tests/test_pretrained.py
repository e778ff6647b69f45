"""EfficientNet-Lite0: our largest network of space `lite` is the reference module, weights and files included."""

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.blocks.layers import SamePaddingConv2d
from hwnas.child import weights_checksum
from hwnas.errors import HwnasError
from hwnas.exporter.export import export
from hwnas.networks import get_network
from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD, lite0_file, load_pretrained
from hwnas.runtimes import get_runtime
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv

CLASSES = {"chelsea": 285, "coffee": 967, "camera": 872}
"""ImageNet classes of scikit-image's photographs: a cat, a cup of coffee, a tripod."""


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """(3, 3, 224, 224), normalised: the middle 7/8 of each photograph."""
    from skimage import data

    images = []
    for name in CLASSES:
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
        side = min(image.size) * 7 // 8
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        images.append((np.asarray(image) / 255 - IMAGENET_MEAN) / IMAGENET_STD)
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float()


def largest(space):
    """The architecture with the last candidate of every decision that is a block."""
    blocks = [[k for k, spec in enumerate(d.candidates) if isinstance(spec, MBConv)] for d in space.decisions]
    return space.decode([options[-1] for options in blocks])


def reference(side=224):
    from efficientnet_lite_pytorch import EfficientNet

    module = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    module.load_state_dict(torch.load(lite0_file(), weights_only=True))
    return module.eval()


@pytest.fixture(scope="module")
def child():
    return load_pretrained(largest(get_space("lite", 224, 1000)))


def test_the_largest_network_of_the_space_is_efficientnet_lite0():
    for resolution in (32, 96, 224):
        assert largest(get_space("lite", resolution, 1000)) == get_network("efficientnet-lite0", 1.0, resolution, 1000)


def test_it_is_the_reference_module_on_photographs_and_knows_what_they_show(child, photographs):
    with torch.no_grad():
        ours, theirs = child(photographs), reference()(photographs)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5
    assert ours.argmax(1).tolist() == list(CLASSES.values())


@pytest.mark.parametrize("side", [63, 64, 97])
def test_it_is_the_reference_module_at_even_and_odd_sides(side):
    ours = load_pretrained(get_network("efficientnet-lite0", 1.0, side, 1000))
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference(side)(x)
        assert float((ours(x) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_both_files_know_what_the_photographs_show_and_pad_without_an_operator(child, photographs, tmp_path):
    models = export(child, tmp_path)
    found = {}
    for model in models:
        session = get_runtime("litert" if model.format == "tflite" else "onnxruntime").load(model.path)
        found[model.format] = [int(session.run(image[None].numpy()).argmax()) for image in photographs]
        assert not {"PAD", "PADV2", "Pad"} & set(model.info.histogram)
    assert found == {"tflite": list(CLASSES.values()), "onnx": list(CLASSES.values())}


def test_other_classes_get_a_last_layer_of_their_own():
    architecture = largest(get_space("lite", 64, 7))
    child = load_pretrained(architecture)
    full = load_pretrained(get_network("efficientnet-lite0", 1.0, 64, 1000))
    torch.testing.assert_close(child.blocks[-1].conv[0].weight, full.blocks[-1].conv[0].weight)
    assert child.blocks[-1].classifier.weight.shape == (7, 1280)


def test_a_run_that_goes_on_begins_with_the_same_weights_again_whatever_was_drawn_before():
    """Also those of the last layer, which are random: they are part of the run's identity."""
    architecture = largest(get_space("lite", 32, 7))
    torch.manual_seed(1)
    first, other = load_pretrained(architecture), load_pretrained(architecture, seed=1)
    state = torch.random.get_rng_state()
    again = load_pretrained(architecture)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert weights_checksum(again.state_dict()) == weights_checksum(first.state_dict())
    assert weights_checksum(other.state_dict()) != weights_checksum(first.state_dict())


def test_weights_of_another_shape_or_none_at_all_are_refused(tmp_path):
    architecture = largest(get_space("lite", 64, 10))
    with pytest.raises(HwnasError, match=r"_blocks\.1\._expand_conv\.weight should be"):
        load_pretrained(get_space("lite", 64, 10).decode([0] * 15))
    with pytest.raises(HwnasError, match="no block like Skip"):
        load_pretrained(
            get_space("tiny").decode([4 if len(d.candidates) > 4 else 0 for d in get_space("tiny").decisions])
        )
    with pytest.raises(HwnasError, match="there is no file"):
        load_pretrained(architecture, tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(HwnasError, match="cannot be read as pretrained weights"):
        load_pretrained(architecture, tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(HwnasError, match="holds no state dict"):
        load_pretrained(architecture, tmp_path / "list.pth")


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "not finite"), (-1.0, "below 0")])
def test_weights_that_no_training_leaves_are_refused(tmp_path, value, said):
    weights = torch.load(lite0_file(), weights_only=True)
    weights["_bn1.running_var"].fill_(value)
    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(HwnasError, match=said):
        load_pretrained(largest(get_space("lite", 64, 10)), tmp_path / "weights.pth")


def test_weights_with_a_zeroed_page_are_refused(tmp_path):
    """torch reads them without a word: they have the right shapes, and are numbers."""
    path = tmp_path / "weights.pth"
    torch.save(torch.load(lite0_file(), weights_only=True), path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    assert torch.load(path, weights_only=True)
    with pytest.raises(HwnasError, match="the checksum of"):
        load_pretrained(largest(get_space("lite", 64, 10)), path)


@pytest.mark.parametrize(("side", "kernel", "pads"), [(8, 3, (0, 1)), (7, 3, (1, 1)), (8, 5, (1, 2)), (7, 5, (2, 2))])
def test_same_padding_is_tensorflow_s(side, kernel, pads):
    convolution = SamePaddingConv2d(1, 1, kernel, 2, bias=False)
    x = torch.randn(1, 1, side, side)
    padded = torch.nn.functional.pad(x, (*pads, *pads))
    torch.testing.assert_close(convolution(x), torch.nn.functional.conv2d(padded, convolution.weight, stride=2))
