"""Training in several processes, started by ``torchrun``: each takes its share of every batch, gradients are averaged.

DistributedDataParallel itself does not fit a SuperNetwork of sampled paths: it expects the same operators to run on
every rank, and DSNAS samples a different path on each. One reduction of all gradients per step does, because
unsampled candidates have gradients of zero, not None.

All else that is done once (measuring, judging, writing files) the first process does, while the others wait for what
it found (`from_first`). Where one process fails, all end, and one message says why (`together`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore, Store
from torch.distributed.rendezvous import rendezvous

from hwnas.errors import HwnasError, UsageError

T = TypeVar("T")

JOIN_TIMEOUT = timedelta(minutes=5)
"""How long processes that start wait for each other."""

STEP_TIMEOUT = timedelta(minutes=30)
"""How long a process waits in a training step for the others."""

WAITING_TIMEOUT = timedelta(days=30)
"""How long processes wait while the first one works alone: measuring a table can take days."""

FAILURE_KEY = "hwnas/failure"
"""Where in the group's store the first failure stands, as ``rank: message``."""


class OtherProcessFailed(HwnasError):
    """Another process of the group has failed, and says why itself."""


@dataclass(frozen=True)
class _Group:
    """The store and the groups of the processes that train together."""

    store: Store
    waiting: dist.ProcessGroup
    """A group for Python objects, on the CPU whatever is trained on, that waits as long as the first process works."""


_group: _Group | None = None


def _check_device(torch_device: str) -> None:
    """Raise UsageError unless torch can compute on a device here."""
    try:
        torch.empty(1, device=torch_device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"torch cannot train on {torch_device!r} here ({str(error).splitlines()[0]}); say `cpu`, or `cuda` on a "
            "machine with an NVIDIA GPU and its driver."
        ) from None


def join(torch_device: str = "cpu") -> str:
    """Join the group that ``torchrun`` describes in the environment; does nothing where there is one process.

    Args:
        torch_device: what is trained on. On GPUs processes talk by NCCL, otherwise by gloo.

    Returns:
        This process's device: with several GPUs each process on a machine has one of its own.

    Raises:
        UsageError: torch has no such device here, the environment describes no group, or there are fewer GPUs than
            processes.
        HwnasError: the other processes cannot be reached.
    """
    global _group
    if _wanted_processes() == 1 or not re.fullmatch(r"cuda(:\d+)?", torch_device):
        _check_device(torch_device)
    if _wanted_processes() == 1:
        return torch_device
    kind = torch.device(torch_device).type
    device = torch_device
    if kind == "cuda":  # its own alone: a GPU may be for one process only
        device = f"cuda:{_own_gpu()}"
        _check_device(device)
    if dist.is_initialized():
        if _group is None:  # somebody else's group: its store is not ours to use
            _group = _Group(HashStore(), dist.new_group(backend="gloo", timeout=WAITING_TIMEOUT))
        return device
    if kind == "cuda":
        torch.cuda.set_device(torch.device(device))
    try:
        store, rank_, processes = next(rendezvous("env://", timeout=JOIN_TIMEOUT))
        store.set_timeout(JOIN_TIMEOUT)
        # int8 is fine-tuned on the CPU, whatever trained before
        backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank_, world_size=processes, timeout=STEP_TIMEOUT)
        waiting = dist.new_group(backend="gloo", timeout=WAITING_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise HwnasError(
            f"this process cannot join the {_wanted_processes()} that train together ({str(error).splitlines()[0]}). "
            "Start them by `torchrun --nproc-per-node N -m hwnas.cli ...`; on several machines, with the same "
            "--rdzv-endpoint on each."
        ) from error
    _group = _Group(store, waiting)
    return device


def leave() -> None:
    """Leave the group that was joined: what follows, this process does alone."""
    global _group
    if _group is not None and dist.is_initialized():
        dist.destroy_process_group()
    _group = None


def _wanted_processes() -> int:
    """How many processes the environment says there are. Raises UsageError if it does not say who this is."""
    try:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes > 1:
            for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
                os.environ[name]
            int(os.environ["RANK"])
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} in the environment asks for several processes, but it, or "
            f"a variable that belongs to it, cannot be read ({error}). Start them by `torchrun --nproc-per-node N -m "
            "hwnas.cli ...`, or unset WORLD_SIZE to train in one process."
        ) from None
    return processes


def _own_gpu() -> int:
    """The number of this process's GPU on its machine. Raises UsageError if there are fewer than processes."""
    gpus = torch.cuda.device_count()
    local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or gpus
    if here > gpus or gpus == 0:
        raise UsageError(
            f"each process trains on a GPU of its own: {here or 1} processes are started here, and torch finds {gpus} "
            'GPUs. Start as many as there are (`torchrun --nproc-per-node gpu`), or train with torch_device = "cpu".'
        )
    return local % gpus


@contextmanager
def together(torch_device: str) -> Iterator[str]:
    """Join, and leave in the end. Where one process fails, it alone says why; the others end in silence.

    Gives this process's device, as `join`. Raises HwnasError where this process is the one to say it, and SystemExit,
    with the same exit code, where it is not.
    """
    try:
        yield join(torch_device)
    except HwnasError as error:
        if not _is_first_to_say(str(error)):
            raise SystemExit(error.exit_code) from None
        if rank() == 0 or isinstance(error, OtherProcessFailed):
            raise
        raise type(error)(f"process {rank()} of {world_size()}: {error}") from error
    except Exception as error:
        _is_first_to_say(repr(error))  # a traceback is enough
        raise
    except KeyboardInterrupt:
        if rank() > 0:
            raise SystemExit(1) from None  # the first process says that it was stopped
        raise
    else:
        leave()


def _is_first_to_say(message: str) -> bool:
    """Whether no process of the group has failed before this one; then the others know that this one has."""
    if world_size() == 1:
        # before the group is there, all processes find the same fault in what they were given
        return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"
    if _group is None:
        return True
    own = f"{rank()}: {message}"
    try:
        return bool(_group.store.compare_set(FAILURE_KEY, "", own).decode() == own)
    except RuntimeError:  # the store was in a process that has ended, which has said why
        return False


@contextmanager
def _talking() -> Iterator[None]:
    """Turns what torch raises when another process is gone into an error of ours."""
    try:
        yield
    except RuntimeError as error:
        raise OtherProcessFailed(
            f"another process of this training has ended, or cannot be reached ({str(error).splitlines()[0]}). Repeat "
            "the command: it goes on from the last checkpoint."
        ) from error


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def processes_here() -> int:
    """How many of them are on this machine, and share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if world_size() > 1 else 1


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch that all processes have: every world_size-th image, from its rank on."""
    return batch[rank() :: world_size()]


def check_shares(images: int) -> None:
    """Raises UsageError if a batch of so many images gives a process fewer than the two that batch norm needs."""
    if world_size() > 1 and images < 2 * world_size():
        raise UsageError(
            f"a batch of {images} images is too small for {world_size()} processes, which need two images each. Start "
            f"{max(1, images // 2)} at most, or use larger batches."
        )


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
    with _talking():
        dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def from_first(compute: Callable[[], T]) -> T:
    """Compute on the first rank, and return the value on every rank: for what is measured, written, or drawn once.

    Where it raises there, every process raises: the first one that error, the others `OtherProcessFailed`.
    """
    if world_size() == 1:
        return compute()
    group = _group.waiting if _group is not None else None
    answer: list[T | None] = [None]
    failure: BaseException | None = None
    if rank() == 0:
        try:
            answer = [compute()]
        except Exception as error:
            failure = error
            _is_first_to_say(str(error))
    message = [str(failure) if failure is not None else None, answer[0]]
    with _talking():
        dist.broadcast_object_list(message, group=group, device=torch.device("cpu") if group is not None else None)
    if failure is not None:
        raise failure
    if message[0] is not None:
        raise OtherProcessFailed(f"process 0 of {world_size()}: {message[0]}")
    return message[1]  # type: ignore[return-value]
