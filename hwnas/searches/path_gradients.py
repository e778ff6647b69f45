"""The gradients of the logits from one or two sampled paths: DSNAS's estimator, and the comparison of two paths."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hwnas.supernet.sampled import SampledNet
from hwnas.train.mixed_precision import FLOAT32, MixedPrecision

Path = tuple[list[int], list[Tensor]]
"""One choice per decision: as indices, and as one-hot vectors that do not require a gradient."""


def one_hot(like: Iterable[Tensor], choices: list[int]) -> list[Tensor]:
    """The choices as one-hot vectors of the sizes of those given, none of which requires a gradient."""
    return [torch.eye(len(a), dtype=a.dtype, device=a.device)[c] for a, c in zip(like, choices, strict=True)]


def sample_path(alphas: nn.ParameterList, generator: torch.Generator) -> Path:
    """One independent choice per decision: Z ~ OneHotCategorical(softmax(alpha)), as indices and one-hot vectors."""
    choices = [int(torch.multinomial(torch.softmax(a.detach().cpu(), 0), 1, generator=generator)) for a in alphas]
    return choices, one_hot(alphas, choices)


def gumbel(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Independent Gumbel noise of the shape of the logits; the largest of their sums is a sample of the softmax."""
    uniform = torch.rand(alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    return -torch.log(-torch.log(uniform)).to(alpha)


def estimate_gradients(
    net: SampledNet, images: Tensor, labels: Tensor, loss_function: nn.Module, choices: list[int], z: list[Tensor]
) -> Tensor:
    """Fill the gradients of weights and logits for one sampled path; the cross-entropy (a scalar) is returned.

    The gradient of the weights is that of the sampled child. That of the logits is ``r_i * (z_i - softmax(alpha_i))``,
    with the reward ``r_i = dL/dz_i``, which is the sum of X_i * dL/dX_i over the output X_i of the sampled block.
    The logits' gradients must be zero before.

    Args:
        images: (N, C, H, W).
        labels: (N,).
        choices: sampled index per decision.
        z: the same as one-hot vectors that do not require a gradient.
    """
    # (a) S = sum_i log p_i(z_i), while z requires no gradient: otherwise the reward would gain a 1/p term
    score = torch.stack([(zi * torch.log_softmax(alpha, 0)).sum() for zi, alpha in zip(z, net.alphas, strict=True)])
    gates = [zi.requires_grad_(True) for zi in z]  # (b)
    loss: Tensor = loss_function(net(images, choices, gates), labels)  # (c)
    # (d) S is added only to carry its gradient; its sign is right although it is not minimised (SNAS-Series#2)
    torch.autograd.backward(loss + score.sum())
    for alpha, gate in zip(net.alphas, gates, strict=True):
        assert alpha.grad is not None
        # (e) the reward, (f) times the gradient of log p; an edge of a cell that did not run has earned nothing
        alpha.grad *= 0.0 if gate.grad is None else gate.grad.sum()
    return loss.detach()


def compare_paths(
    net: SampledNet,
    images: Tensor,
    labels: Tensor,
    loss_function: nn.Module,
    loss: Tensor,
    z: list[Tensor],
    other: Path,
    precision: MixedPrecision = FLOAT32,
) -> Tensor:
    """Add to the logits' gradients what a second path tells of the first: ``(L - L') * (z - z') / 2`` per decision.

    That is REINFORCE for both paths, each with the other's loss as its baseline; their scores z - p and z' - p differ
    by z - z'. It is unbiased for the gradient of the expected loss. Both see the same images, whose difficulty, most
    of what makes one loss differ from the next, drops out. The second path runs forwards only. Its loss is returned.

    Args:
        images: (N, C, H, W).
        labels: (N,).
        loss: the cross-entropy of the first path on them (a scalar).
        z: the first path, as one-hot vectors.
        other: the second path, sampled independently: indices and one-hot vectors.
        precision: of its pass.
    """
    choices, others = other
    with torch.no_grad():
        with precision.forward():
            other_loss: Tensor = loss_function(net(images, choices), labels)
        advantage = (loss - other_loss) / 2
        for alpha, chosen, instead in zip(net.alphas, z, others, strict=True):
            assert alpha.grad is not None
            alpha.grad += advantage * (chosen - instead)
    return other_loss


@torch.no_grad()
def compare_with_mean(alphas: nn.ParameterList, loss: Tensor, mean_loss: Tensor, z: list[Tensor]) -> None:
    """Add to the logits' gradients what one path tells: ``(L - mean) * (z - softmax(alpha)) / 2`` per decision.

    REINFORCE with a running mean as its baseline, as one of the two paths of `compare_paths` has the other's loss, and
    with the same weight for a path: half the gradient of the expected loss. It costs nothing, and varies with the
    images in the batch.

    Args:
        loss: the cross-entropy of the path (a scalar).
        mean_loss: that of the steps before (a scalar).
        z: the path, as one-hot vectors.
    """
    advantage = (loss - mean_loss) / 2
    for alpha, chosen in zip(alphas, z, strict=True):
        assert alpha.grad is not None
        alpha.grad += advantage * (chosen - torch.softmax(alpha, 0))
