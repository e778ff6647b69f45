"""Known networks, by name."""

from hwnas.networks.registry import NETWORKS as NETWORKS
from hwnas.networks.registry import get_network as get_network
from hwnas.networks.registry import usual_networks as usual_networks
