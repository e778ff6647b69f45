"""Accuracy, and the batch-norm statistics that a child taken from a supernet needs first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batches = Iterable[tuple[Tensor, Tensor]]


@torch.no_grad()
def accuracy(model: nn.Module, batches: Batches) -> float:
    """Share of images (0 to 1) whose largest logit is their label. The model is put into evaluation mode."""
    return accuracy_and_loss(model, batches)[0]


@torch.no_grad()
def accuracy_and_loss(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """As `accuracy`, and the mean cross-entropy of the same images; both are nan where there are none."""
    model.eval()
    device = next(model.parameters()).device
    right, summed, total = 0, 0.0, 0
    for images, labels in batches:
        logits = model(images.to(device)).cpu()
        right += int((logits.argmax(1) == labels).sum())
        summed += float(F.cross_entropy(logits, labels, reduction="sum"))
        total += len(labels)
    return (right / total, summed / total) if total else (float("nan"), float("nan"))


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, batches: Batches, limit: int = 50) -> None:
    """Replace the running statistics by exact averages over up to `limit` batches; no learnable parameter changes.

    In a supernet they are mixed over all paths, which no child computes with (SNAS-Series#4, SinglePathOneShot). Only
    the batch norms run in training mode meanwhile; the model is left in evaluation mode.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average instead of an exponential one
        norm.train()
    device = next(model.parameters()).device
    for images, _ in islice(batches, limit):
        model(images.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
