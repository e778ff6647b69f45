"""SuperNetworks: one module that holds the weights of a whole SearchSpace."""

from hwnas.supernet.sampled import SampledNet

__all__ = ["SampledNet"]
