"""Training networks of cells alone, as DARTS does: drop path, the auxiliary classifier, cutout."""

import pytest
import torch

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.spaces import get_space
from hwnas.train.augmentation import Cutout
from hwnas.train.cell_training import AuxiliaryHead, CellSettings, CellTraining, published
from hwnas.train.child import ChildTrainer
from hwnas.train.data import load_data

SPACE = get_space("darts", resolution=8, cells=3, channels=4)
SEPARABLE_AND_SKIP = SPACE.decode([0] * 8)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=8, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


def published_network():
    return ChildNetwork(get_space("darts").decode([24, 24, 17, 68, 0, 100, 51, 198])).eval()


def test_the_auxiliary_classifier_has_the_published_parts():
    head = AuxiliaryHead(576, 8, 10)
    # 576 x 128, two batch norms, 128 x 768 x 2 x 2, and a linear layer (quark0/darts, `AuxiliaryHeadCIFAR`)
    assert sum(p.numel() for p in head.parameters()) == 73_728 + 256 + 393_216 + 1_536 + 7_690
    assert head.eval()(torch.rand(2, 576, 8, 8)).shape == (2, 10)
    assert AuxiliaryHead(768, 7, 1000).eval()(torch.rand(1, 768, 7, 7)).shape == (1, 1000)


def test_it_stands_behind_the_last_reduction_and_is_no_part_of_the_network():
    net = published_network()
    params = net.architecture.params
    cells = CellTraining(net, CellSettings(), 10)
    assert cells.head is not None
    assert cells.head.features[2].in_channels == 576  # 4 nodes of 144 channels
    net.train()
    logits = net(torch.rand(2, 3, 32, 32))
    labels, loss = torch.tensor([1, 2]), torch.nn.CrossEntropyLoss()
    features = cells._features
    with_head = cells.loss(logits, labels, loss)
    expected = loss(logits, labels) + 0.4 * loss(cells.head(features), labels)
    assert with_head.item() == pytest.approx(expected.item(), rel=1e-5)
    assert sum(p.numel() for p in net.parameters()) == params == 3_349_342


def test_edges_are_left_out_for_images_ever_more_often_and_keep_their_mean():
    net = ChildNetwork(SEPARABLE_AND_SKIP).train()
    cells = CellTraining(net, CellSettings(auxiliary=0.0, drop_path=0.4), 100)
    operator = net.blocks[1].nodes[0].operators[0]
    given = torch.rand(4000, 4, 8, 8)
    shares, means = [], []
    torch.manual_seed(0)
    for step in (0, 50, 100):
        cells.begin_step(step)
        plain = torch.ones(4000, 4, 2, 2)
        dropped = cells._drop(operator, given, plain)
        gone = (dropped == 0).flatten(1)
        assert bool((gone.all(1) | ~gone.any(1)).all())  # a whole image or nothing
        shares.append(float(gone.all(1).float().mean()))
        means.append(float(dropped.mean()))
    assert shares == pytest.approx([0, 0.2, 0.4], abs=0.03)
    assert means == pytest.approx([1, 1, 1], abs=0.05)


def test_edges_that_hand_on_their_input_are_never_left_out():
    skips = SPACE.decode(
        {
            "normal": [["skip_connect", 0], ["skip_connect", 1]] * 4,
            "normal_concat": [2, 3, 4, 5],
            "reduce": [["max_pool_3x3", 0], ["max_pool_3x3", 1]] * 4,
            "reduce_concat": [2, 3, 4, 5],
        }
    )
    cells = CellTraining(ChildNetwork(skips), CellSettings(auxiliary=0.0), 10)
    assert len(cells._hooks) == 2 * 8  # of the two reduction cells; of the normal one none


def test_only_training_leaves_edges_out_and_the_end_takes_all_away():
    net = ChildNetwork(SEPARABLE_AND_SKIP)
    cells = CellTraining(net, CellSettings(drop_path=0.9), 1)
    cells.begin_step(1)
    images = torch.rand(4, 1 if net.architecture.input_shape[0] == 1 else 3, 8, 8)
    net.eval()
    alone = ChildNetwork(SEPARABLE_AND_SKIP).eval()
    alone.load_state_dict(net.state_dict())
    assert torch.equal(net(images), alone(images))
    cells.end()
    assert not any(module._forward_hooks for module in net.modules())


def test_a_training_with_all_of_it_goes_on_bit_for_bit(digits):
    settings = CellSettings(drop_path=0.5)

    def trainer():
        return ChildTrainer(SEPARABLE_AND_SKIP, digits, 2, settings=settings)

    def steps(of, epoch):
        return [of.step(*batch)["loss"] for batch in digits.train_batches(epoch)]

    whole = trainer()
    losses = [steps(whole, 0), steps(whole, 1)]
    stopped, again = trainer(), trainer()
    assert steps(stopped, 0) == losses[0]
    again.load_state_dict(stopped.state_dict())
    assert steps(again, 1) == losses[1]
    ours, theirs = whole.trained().state_dict(), again.trained().state_dict()
    assert ours.keys() == ChildNetwork(SEPARABLE_AND_SKIP).state_dict().keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_auxiliary_classifier_learns(digits):
    trainer = ChildTrainer(SEPARABLE_AND_SKIP, digits, 2, settings=CellSettings())
    before = {name: value.clone() for name, value in trainer.cells.named_parameters()}
    for batch in digits.train_batches(0):
        trainer.step(*batch)
    assert any(not torch.equal(before[name], value) for name, value in trainer.cells.named_parameters())


def test_a_square_of_the_mean_is_cut_out_and_may_lie_partly_outside():
    torch.manual_seed(0)
    images = torch.rand(400, 3, 32, 32) + 1
    cut = Cutout(16, (0.1, 0.2, 0.3))(images)
    gone = cut != images
    assert torch.equal(cut[gone[:, :1].expand_as(gone)].view(-1)[:1], torch.tensor([0.1]))
    sizes = gone[:, 0].flatten(1).sum(1)
    assert int(sizes.max()) == 256
    assert int(sizes.min()) < 100
    assert bool((gone[:, 0] == gone[:, 2]).all())


def test_published_settings_are_those_of_darts():
    found = published()
    assert found.lr * (96 / 1024) ** 0.5 == pytest.approx(0.025)
    assert (found.weight_decay, found.auxiliary, found.drop_path, found.clip_norm) == (3e-4, 0.4, 0.2, 5.0)
    assert (published(imagenet=True).label_smoothing, published(imagenet=True).drop_path) == (0.1, 0.0)


@pytest.mark.parametrize("wrong", [{"drop_path": 1.0}, {"drop_path": -0.1}, {"auxiliary": -1.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        CellSettings(**wrong)


def test_networks_without_cells_are_refused(digits):
    with pytest.raises(UsageError, match="networks of cells"):
        ChildTrainer(get_space("tiny", 8).decode([0] * 7), digits, 1, settings=CellSettings())
