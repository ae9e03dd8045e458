"""What the latents say: principal directions, clusters, densities, UMAP, and maps along them."""

from cryosway.landscape._centres import read_cluster_centres
from cryosway.landscape._clusters import Clusters, choose_cluster_count, cluster_particles
from cryosway.landscape._coordinates import PrincipalAxes, fit_principal_axes
from cryosway.landscape._density import find_extent, smooth_histogram, snap_to_density
from cryosway.landscape._embedding import embed_umap
from cryosway.landscape._landscape import landscape
from cryosway.landscape._map_files import MapRequest, write_maps
from cryosway.landscape._paths import Traversal, trace_direction

__all__ = [
    "Clusters",
    "MapRequest",
    "PrincipalAxes",
    "Traversal",
    "choose_cluster_count",
    "cluster_particles",
    "embed_umap",
    "find_extent",
    "fit_principal_axes",
    "landscape",
    "read_cluster_centres",
    "smooth_histogram",
    "snap_to_density",
    "trace_direction",
    "write_maps",
]
