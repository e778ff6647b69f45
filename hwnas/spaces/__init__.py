"""The search spaces, by name."""

from hwnas.spaces.registry import SPACES as SPACES
from hwnas.spaces.registry import get_space as get_space
