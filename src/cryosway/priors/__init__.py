"""What is known of a molecule before the data: bonds, clashes, elastic networks, normal modes."""

from cryosway.priors._clash import Clash, count_clashes
from cryosway.priors._continuity import ChainContinuity, Smoothness
from cryosway.priors._elastic_network import ElasticNetwork, Reach, find_edges
from cryosway.priors._normal_modes import NormalModes, find_normal_modes
from cryosway.priors._pairs import pair_lengths
from cryosway.priors._placement import Placement
from cryosway.priors._prior import BeadModel, Prior

__all__ = [
    "BeadModel",
    "ChainContinuity",
    "Clash",
    "ElasticNetwork",
    "NormalModes",
    "Placement",
    "Prior",
    "Reach",
    "Smoothness",
    "count_clashes",
    "find_edges",
    "find_normal_modes",
    "pair_lengths",
]
