"""The ChildNetwork: an ordinary torch module built from an Architecture. It knows nothing of search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.errors import HwnasError
from hwnas.files import CHECKSUM, read_json, write_atomically, write_json
from hwnas.foreign import decoded, parse_json, read_bytes
from hwnas.random_state import own_random_state
from hwnas.run import RUN_FILE
from hwnas.space import MOST_PARAMS, Architecture

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"
MOST_BYTES_OF_WEIGHTS = 4 * MOST_PARAMS + 2**27
"""In float32, and a header."""


class ChildNetwork(nn.Module):
    """A chain of blocks: images (N, C, H, W), normalised -> logits (N, num_classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = nn.ModuleList(build_block(spec) for spec in architecture.blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def build_child(architecture: Architecture) -> ChildNetwork:
    """A ChildNetwork with fresh weights."""
    return ChildNetwork(architecture)


def save_child(child: ChildNetwork, folder: Path | str) -> None:
    """Write ``architecture.json`` and ``weights.safetensors`` into `folder`. Raises HwnasError if it cannot."""
    from safetensors.torch import save

    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in child.state_dict().items()}
    metadata = {CHECKSUM: weights_checksum(weights)}

    # not the library's own way to write a file, which only its owner could read
    write_atomically(folder / WEIGHTS_FILE, lambda temporary: temporary.write_bytes(save(weights, metadata)))
    write_json(folder / ARCHITECTURE_FILE, child.architecture.to_json())


def read_architecture(path: Path) -> Architecture:
    """The Architecture in a file. Raises HwnasError, naming the file, if it is missing or damaged."""
    if not path.exists() and (path.parent / RUN_FILE).is_file():
        raise HwnasError(
            f"the run {path.parent} has not found a network yet (no {path.name}); repeat its command to go on with it."
        )
    return Architecture.from_json(read_json(path, "the architecture"), f"the architecture {path}")


def load_child(folder: Path | str) -> ChildNetwork:
    """The ChildNetwork that `save_child` wrote, in evaluation mode. Raises HwnasError for missing or damaged files."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    path, architecture = folder / WEIGHTS_FILE, read_architecture(folder / ARCHITECTURE_FILE)
    with own_random_state():  # a new module draws weights, which those of the file replace
        child = build_child(architecture)
    if not path.exists():
        raise HwnasError(f"there is no {WEIGHTS_FILE} in {folder}; name the folder of a finished run or an export.")
    try:
        data = read_bytes(path, "the weights", MOST_BYTES_OF_WEIGHTS)
        weights, recorded = load(data), _recorded_checksum(data)
        check_weights(weights, child.state_dict())
        if recorded is not None and recorded != weights_checksum(weights):
            raise ValueError("they do not match the checksum in the file, so it is damaged")
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError) as error:
        said = " ".join(str(error).split())
        said = said if len(said) <= 300 else f"{said[:300]}..."  # the library quotes what it found, however long
        raise HwnasError(
            f"{path} does not hold this architecture's weights: {said}. Restore the file, or repeat the command that "
            "wrote it."
        ) from None
    child.load_state_dict(weights)
    return child.eval()


def check_weights(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise ValueError, naming the tensor, where `found` differs from `wanted` in names, shapes or types, or holds what
    no training leaves: numbers that are not finite, a variance below 0."""
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())
        raise ValueError(f"{len(odd)} names are in one of the two only, such as {odd[0]!r}")
    for name, tensor in found.items():
        shape, dtype = tuple(wanted[name].shape), wanted[name].dtype
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(f"{name} must be {dtype} {shape}, and is {tensor.dtype} {tuple(tensor.shape)}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if name.endswith(("running_var", "num_batches_tracked")) and (tensor < 0).any():
            raise ValueError(f"{name} is below 0")


def _recorded_checksum(data: bytes) -> str | None:
    """The checksum in the header of a safetensors file, which is JSON behind its length; None: there is none."""
    header = parse_json(decoded(data[8 : 8 + int.from_bytes(data[:8], "little")]))
    return (header.get("__metadata__") or {}).get(CHECKSUM)


def weights_checksum(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of all values, by name: the format itself has none."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
