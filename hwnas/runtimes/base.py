"""The Runtime protocol: it executes model files; and the Session that it opens.

A Runtime is named as people type it (``litert``, ``tflite-runtime``, ``onnxruntime``). A Session is one loaded model on
one Runtime with a fixed number of threads. Shapes are NCHW here, whatever layout the file itself uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Session(Protocol):
    """One loaded model with one input and one output, ready to run.

    Both are float32 here. Where the file stores integers, values are rounded by its scale on the way in, and made
    float32 again on the way out, outside `invoke`.
    """

    input_shape: tuple[int, ...]
    """Input shape, NCHW (or as in the file, where the input is not an image)."""

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a float32 input of ``input_shape`` (NCHW); an image-shaped output comes back as NCHW."""
        ...

    def prepare(self, x: NDArray[np.float32]) -> None:
        """Put the input in place (NCHW float32), so that `invoke` does nothing but the inference."""
        ...

    def invoke(self) -> None:
        """One inference on the prepared input: a Measurement times this call, and nothing else."""
        ...


class Runtime(Protocol):
    """It executes model files in this process. Implementations pass `tests/test_runtimes.py`."""

    name: str
    suffix: str
    """The files it takes: ``.tflite`` or ``.onnx``."""

    def version(self) -> str:
        """Version of the installed library. Raises HwnasError, naming the package and the cure, if there is none."""
        ...

    def library_sha256(self) -> str:
        """SHA-256 of the shared library that does the work: two builds of one version are two runtimes."""
        ...

    def load(self, model: bytes | Path, threads: int = 1) -> Session:
        """Load a model. Raises HwnasError if the file is missing, truncated or of another format."""
        ...
