"""The ChildNetwork: an ordinary torch module built from an Architecture. It knows nothing of search."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.errors import HwnasError
from hwnas.files import read_json, write_atomically, write_json
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
    from safetensors.torch import save_file

    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in child.state_dict().items()}
    write_atomically(folder / WEIGHTS_FILE, lambda temporary: save_file(weights, temporary))
    write_json(folder / ARCHITECTURE_FILE, child.architecture.to_json())


def load_child(folder: Path | str) -> ChildNetwork:
    """The ChildNetwork that `save_child` wrote, in evaluation mode. Raises HwnasError for missing or damaged files."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    child = build_child(Architecture.from_json(read_json(folder / ARCHITECTURE_FILE, "the architecture")))
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise HwnasError(f"there is no {WEIGHTS_FILE} in {folder}; name the folder of a finished run or an export.")
    try:
        child.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise HwnasError(f"{path} does not hold this architecture's weights: {error}. Export the run again.") from None
    return child.eval()
