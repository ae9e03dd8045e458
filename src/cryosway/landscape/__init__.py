"""What the latents say: principal directions, clusters, densities, UMAP, and maps along them."""

from cryosway.landscape._centres import read_cluster_centres, read_state_centres
from cryosway.landscape._clusters import Clusters, choose_cluster_count, cluster_particles
from cryosway.landscape._coordinates import PrincipalAxes, fit_principal_axes
from cryosway.landscape._deconvolution import LatentDensity, cover_cells, deconvolve
from cryosway.landscape._density import (
    count_support,
    find_extent,
    smooth_histogram,
    snap_to_density,
)
from cryosway.landscape._density_clusters import cluster_by_density
from cryosway.landscape._embedding import embed_umap
from cryosway.landscape._evidence import LatentEvidence, weigh_evidence
from cryosway.landscape._kept import keep_stage
from cryosway.landscape._landscape import landscape
from cryosway.landscape._latents import count_real_directions, note_decisions, read_latents
from cryosway.landscape._map_files import MapRequest, write_maps
from cryosway.landscape._mixture import Mixture, choose_mixture, fit_mixture, reweigh
from cryosway.landscape._outliers import find_far, flag_outliers
from cryosway.landscape._paths import Traversal, find_sparse, trace_direction
from cryosway.landscape._populations import (
    Populations,
    join_components,
    measure_populations,
)
from cryosway.landscape._routes import (
    fill_other_coordinates,
    route_by_energy,
    route_by_graph,
    route_straight,
)
from cryosway.landscape._volume_sketch import choose_particles
from cryosway.landscape._volume_space import (
    LatentMapping,
    VolumeSpace,
    analyse_volumes,
    fit_mapping,
)

__all__ = [
    "Clusters",
    "LatentDensity",
    "LatentEvidence",
    "LatentMapping",
    "MapRequest",
    "Mixture",
    "Populations",
    "PrincipalAxes",
    "Traversal",
    "VolumeSpace",
    "analyse_volumes",
    "choose_cluster_count",
    "choose_mixture",
    "choose_particles",
    "cluster_by_density",
    "cluster_particles",
    "count_real_directions",
    "count_support",
    "cover_cells",
    "deconvolve",
    "embed_umap",
    "fill_other_coordinates",
    "find_extent",
    "find_far",
    "find_sparse",
    "fit_mapping",
    "fit_mixture",
    "fit_principal_axes",
    "flag_outliers",
    "join_components",
    "keep_stage",
    "landscape",
    "measure_populations",
    "note_decisions",
    "read_cluster_centres",
    "read_latents",
    "read_state_centres",
    "reweigh",
    "route_by_energy",
    "route_by_graph",
    "route_straight",
    "smooth_histogram",
    "snap_to_density",
    "trace_direction",
    "weigh_evidence",
    "write_maps",
]
