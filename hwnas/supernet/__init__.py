"""SuperNetworks: one module that holds the weights of a whole SearchSpace."""

from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet

__all__ = ["SampledNet", "SuperKernelNet"]
