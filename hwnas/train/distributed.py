"""Training in several processes, started by ``torchrun``: each takes its share of every batch, gradients are averaged.

DistributedDataParallel itself does not fit a SuperNetwork of sampled paths: it expects the same operators to run on
every rank, and DSNAS samples a different path on each. One reduction of all gradients per step does, because
unsampled candidates have gradients of zero, not None.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


def join() -> None:
    """Join the group that ``torchrun`` describes in the environment; does nothing where it does not."""
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch that all processes have: every world_size-th image, from its rank on."""
    return batch[rank() :: world_size()]


@torch.no_grad()
def average(parameters: Iterable[nn.Parameter], buffers: Iterable[Tensor] = ()) -> None:
    """Replace all gradients, and floating-point buffers such as batch-norm statistics, by their mean over processes.

    Every parameter must have a gradient, zeros where its candidate was not sampled, so that the sums match.
    """
    if world_size() == 1:
        return
    tensors = [p.grad for p in parameters if p.grad is not None]
    tensors += [buffer for buffer in buffers if buffer.is_floating_point()]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def from_first(compute: Callable[[], T]) -> T:
    """What `compute` gives on the first rank, on every rank: for what is measured, or drawn once."""
    if world_size() == 1:
        return compute()
    answer = [compute() if rank() == 0 else None]
    dist.broadcast_object_list(answer)
    return answer[0]  # type: ignore[return-value]


def first_then_others(act: Callable[[], T]) -> T:
    """`act` on every rank, on the first one before the others: for folders that are made once."""
    if world_size() == 1:
        return act()
    result = act() if rank() == 0 else None
    dist.barrier()
    return result if rank() == 0 else act()  # type: ignore[return-value]
