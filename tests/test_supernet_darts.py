"""The supernet of cells of two inputs: shared operators, children bit for bit, mixtures, and the methods on it."""

import random

import pytest
import torch

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.resource import decision_mflops
from hwnas.searches.search import search
from hwnas.spaces import get_space
from hwnas.supernet.mixed import mixed
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_latency_darts import small_space
from tests.weekly import weekly_except

SPACE = get_space("darts", cells=3, channels=4, resolution=8)
SMALL = small_space(num_classes=10, side=8)
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net() -> SampledNet:
    torch.manual_seed(0)
    return SampledNet(SPACE).eval()


def test_candidates_of_a_node_share_the_operators_of_its_edges(net):
    sizes = [len(choice.operators) for choice in (net.choices()[d.name][0] for d in SPACE.decisions[:4])]
    assert sizes == [2 * 7, 3 * 7, 4 * 7, 5 * 7]
    assert [len(places) for places in net.choices().values()] == [1] * 4 + [2] * 4


@pytest.mark.parametrize("seed", range(4))
def test_a_path_is_the_child_that_inherits_it_bit_for_bit(net, seed):
    architecture = SPACE.sample(random.Random(seed))
    child = net.inherit(architecture).eval()
    with torch.no_grad():
        assert torch.equal(net.run_path(IMAGES, SPACE.indices(architecture)), child(IMAGES))


def test_a_mixture_is_the_weighted_sum_of_all_candidates(net):
    choice = net.choices()["normal node 3"][0]
    states = [torch.randn(2, 4, 8, 8) for _ in range(3)]
    weights = torch.softmax(torch.randn(len(choice.one_of.candidates)), 0)
    with torch.no_grad():
        outputs = [choice.run_candidate(states, k) for k in range(len(weights))]
        expected = sum(w * out for w, out in zip(weights, outputs, strict=True))
        torch.testing.assert_close(choice.run_mixture(states, weights), expected, rtol=1e-4, atol=1e-5)
        path = SPACE.indices(SPACE.sample(random.Random(0)))
        found = mixed(net, IMAGES, one_hot(net.alphas, path))
        torch.testing.assert_close(found, net.run_path(IMAGES, path), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "space"),
    weekly_except(
        [("dsnas", SMALL), ("random", SPACE)],
        [
            (method, SMALL)
            for method in ("dsnas", "darts", "darts-pt", "cdarts", "gdas", "snas", "spos", "least-squares")
        ]
        + [("random", SPACE)],
    ),
    ids=lambda value: getattr(value, "name", value),
)
def test_the_methods_search_cells_within_a_budget(method, space, tmp_path):
    data = load_data("digits", resolution=8, batch_size=32, limit_train=64, workers=0)
    costs_ms = {block: 0.01 + block[0].macs(block[1]) / 1e7 for block in space.distinct_blocks()}
    predictor = AdditivePredictor.block_sum(costs_ms)
    fastest, slowest = (predictor.predict(a).high_ms for a in predictor.extremes(space))
    budget_ms = (fastest + slowest) / 2
    few = {"evaluations": 8}
    settings = {"spos": few | {"population": 4}, "random": few, "least-squares": few}.get(method, {})
    found = search(space, data, predictor, budget_ms, tmp_path, method, epochs=1, train_threads=1, settings=settings)
    assert Budget(budget_ms, space, predictor).is_within(found.architecture)
    assert space.decode(found.architecture.code) == found.architecture


def test_the_flops_of_nodes_add_up_to_those_of_the_architecture():
    """Each edge at its own shape; what is beside the nodes is the same for all."""
    macs, rng = decision_mflops(SMALL), random.Random(0)

    def beside(architecture) -> float:
        indices = SMALL.indices(architecture)
        return architecture.macs / 1e6 - sum(float(each[k]) for each, k in zip(macs, indices, strict=True))

    found = [beside(SMALL.sample(rng)) for _ in range(20)]
    assert found == pytest.approx([found[0]] * 20, rel=1e-4) and found[0] > 0
