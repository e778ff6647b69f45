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
from hwnas.space import Architecture

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"


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
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in child.state_dict().items()}
    metadata = {CHECKSUM: _checksum(weights)}

    def write(temporary: Path) -> None:
        try:
            save_file(weights, temporary, metadata)
        except SafetensorError as error:  # it reports a full disk so
            raise OSError(str(error)) from error

    write_atomically(folder / WEIGHTS_FILE, write)
    write_json(folder / ARCHITECTURE_FILE, child.architecture.to_json())


def load_child(folder: Path | str) -> ChildNetwork:
    """The ChildNetwork that `save_child` wrote, in evaluation mode. Raises HwnasError for missing or damaged files."""
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    child = build_child(Architecture.from_json(read_json(folder / ARCHITECTURE_FILE, "the architecture")))
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise HwnasError(f"there is no {WEIGHTS_FILE} in {folder}; name the folder of a finished run or an export.")
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
            recorded = (file.metadata() or {}).get(CHECKSUM)
        if recorded is not None and recorded != _checksum(weights):
            raise RuntimeError("they do not match the checksum in the file, so it is damaged")
        child.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise HwnasError(
            f"{path} does not hold this architecture's weights: {error}. Restore the file, or repeat the command that "
            "wrote it."
        ) from None
    return child.eval()


def _checksum(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of all values, by name: the format itself has none."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
