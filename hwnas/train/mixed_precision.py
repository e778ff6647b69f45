"""Mixed precision: networks compute in 16 bits where a GPU has units for that; weights, gradients, losses stay float32.

Forward passes run under torch's autocast, which keeps the statistics of batch norms in float32. The range of float16 is
small: losses are multiplied by a scale before their gradients are taken, these are divided by it, and an update whose
gradients overflow is left out (Micikevicius et al., arXiv 1710.03740). torch's GradScaler does that for one loss and
its optimisers; here weights and logits have gradients of several losses, some of them not scaled, and all processes
must leave out the same updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from hwnas.errors import UsageError, unknown_name

Amp = Literal["off", "bf16", "fp16"]
"""What forward passes compute in: float32, bfloat16 or float16."""

WantedAmp = Literal["auto", "off", "bf16", "fp16"]
"""``auto``: what suits the device."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

FIRST_SCALE, LARGEST_SCALE = 2.0**12, 2.0**24
"""Of float16's losses."""

GOOD_UPDATES = 500
"""After so many updates without an overflow the scale is doubled."""


def resolve_amp(wanted: str, torch_device: str) -> Amp:
    """What a training on a device computes in: ``auto`` is bf16 on GPUs that have it, fp16 on other GPUs, else off.

    Raises UsageError for an unknown name, and for a type that the device does not have.
    """
    if wanted not in get_args(WantedAmp):
        raise unknown_name("amp", wanted, list(get_args(WantedAmp)))
    device = torch.device(torch_device)
    has_bf16 = device.type != "cuda" or _gpu_has_bf16(device)
    if wanted == "auto":
        wanted = "off" if device.type != "cuda" else "bf16" if has_bf16 else "fp16"
    if wanted != "off" and not torch.amp.is_autocast_available(device.type):
        raise UsageError(f"torch has no mixed precision on {torch_device!r}; say --amp off.")
    if wanted == "bf16" and not has_bf16:
        raise UsageError(f"the GPU {torch_device!r} does not compute in bfloat16; say --amp fp16, or auto.")
    return wanted  # type: ignore[return-value]


def _gpu_has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


class MixedPrecision:
    """How a trainer computes: its forward passes, the gradients of its losses, and its updates.

    Args:
        torch_device: what is trained on.
        amp: what forward passes compute in; ``off`` changes nothing.

    Attributes:
        scale: what losses are multiplied by while gradients are taken.
    """

    def __init__(self, torch_device: str = "cpu", amp: Amp = "off") -> None:
        self._device_type = torch.device(torch_device).type
        self._dtype = DTYPES.get(amp)
        self._good_updates = 0
        self.scale = FIRST_SCALE if amp == "fp16" else 1.0

    @property
    def _scales(self) -> bool:
        return self._dtype is torch.float16

    def forward(self) -> AbstractContextManager[Any]:
        """For one forward pass and its loss: torch keeps 16-bit copies of weights in it, which must not move there."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device_type, self._dtype)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """No mixed precision here: for small differences of large numbers, such as a finite difference."""
        dtype, self._dtype = self._dtype, None
        try:
            yield
        finally:
            self._dtype = dtype

    def backward(self, loss: Tensor, tensors: Iterable[Tensor]) -> None:
        """Add the gradients of a loss (a scalar) to those that `tensors`, all it depends on that learns, have."""
        if not self._scales:
            torch.autograd.backward(loss)
            return
        learning = [tensor for tensor in tensors if tensor.requires_grad]
        found = torch.autograd.grad(loss * self.scale, learning, allow_unused=True)
        for tensor, gradient in zip(learning, found, strict=True):
            if gradient is not None:
                own = gradient / self.scale
                tensor.grad = own if tensor.grad is None else tensor.grad.add_(own)

    def gradients(self, loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of a loss (a scalar), zeros where it does not depend on a tensor."""
        scaled = loss * self.scale if self._scales else loss
        found = torch.autograd.grad(scaled, tensors, allow_unused=True, materialize_grads=True)
        return [gradient / self.scale for gradient in found] if self._scales else list(found)

    def update(
        self, optimizer: Optimizer, parameters: Sequence[nn.Parameter] = (), clip_norm: float | None = None
    ) -> bool:
        """Move what an optimiser trains by the gradients that it has, unless they have overflowed; whether it moved.

        Args:
            parameters: whose gradients are clipped together.
            clip_norm: limit on their norm; None for none.
        """
        if self._scales and not self._have_not_overflowed(optimizer):
            return False
        if clip_norm is not None:
            clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        return True

    def kept(self, buffers: Iterable[Tensor]) -> list[Tensor]:
        """Copies of what a forward pass changes, such as statistics, for a step that may overflow; else none."""
        return [buffer.clone() for buffer in buffers] if self._scales else []

    def _have_not_overflowed(self, optimizer: Optimizer) -> bool:
        """Whether all gradients are finite; the scale follows. Of several processes all find the same."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = not gradients or bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all())
        self._good_updates = self._good_updates + 1 if finite else 0
        if not finite:
            self.scale = max(1.0, self.scale / 2)
        elif self._good_updates % GOOD_UPDATES == 0:
            self.scale = min(LARGEST_SCALE, self.scale * 2)
        return finite

    def state_dict(self) -> dict[str, Any]:
        """A part of a trainer's state; empty where losses are not scaled."""
        return {"loss_scale": [self.scale, self._good_updates]} if self._scales else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of a trainer."""
        if self._scales:
            self.scale, self._good_updates = state["loss_scale"]


FLOAT32 = MixedPrecision()
"""No mixed precision."""


def widened(tensor: Tensor) -> Tensor:
    """A tensor of 16 bits in float32; any other as it is."""
    return tensor.float() if tensor.dtype in DTYPES.values() else tensor


class WidenedCrossEntropy(nn.CrossEntropyLoss):
    """The cross-entropy in float32 of logits (N, classes) that are computed in 16 bits."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(widened(input), target)
