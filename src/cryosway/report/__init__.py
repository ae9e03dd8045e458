"""Figures in one call each, a software renderer for maps, and the self-contained HTML report."""

from cryosway.report import plot
from cryosway.report._acquisition import plot_defocus, plot_shifts
from cryosway.report._agreement import plot_agreement, plot_matched_maps
from cryosway.report._chimerax import write_session
from cryosway.report._chimerax_models import DISPLACEMENT_NAME, write_displacement
from cryosway.report._comparison import plot_difference_matrix, plot_residue_differences
from cryosway.report._contents import Contents, gather_contents
from cryosway.report._docking import draw_docking
from cryosway.report._free_energy import plot_free_energy, plot_state_populations
from cryosway.report._language import draw_contacts, draw_mutations, draw_perplexity
from cryosway.report._latent import (
    plot_embedding,
    plot_latent_density,
    plot_populations,
    plot_states,
)
from cryosway.report._map_figures import (
    draw_coloured_map,
    draw_difference,
    draw_local_resolution,
    draw_map,
    draw_maps,
)
from cryosway.report._morph import animate_morph, draw_morph_strip
from cryosway.report._motions import (
    DomainPicture,
    plot_displacement,
    plot_domain_motion,
    plot_measure,
)
from cryosway.report._movie import movie
from cryosway.report._page_maps import choose_report_threshold
from cryosway.report._pictures import write_figure
from cryosway.report._predicted_error import plot_confidence
from cryosway.report._report import report
from cryosway.report._resolution import plot_fsc, plot_noise
from cryosway.report._scene import Actor, Camera, render_scene
from cryosway.report._scores import plot_cost, plot_map_scores, plot_programs, plot_state_shares
from cryosway.report._slices import plot_slices
from cryosway.report._spectrum import plot_spectrum
from cryosway.report._style import figure_png
from cryosway.report._surface import Surface, build_surface, sample_on_surface
from cryosway.report._threshold import choose_threshold
from cryosway.report._uncertainty import plot_uncertainty
from cryosway.report._validation import plot_losses
from cryosway.report._viewpoint import choose_view, fit_camera, turn_view
from cryosway.report._views import map_view_density, plot_views
from cryosway.report._volume_plane import plot_volume_space

__all__ = [
    "DISPLACEMENT_NAME",
    "Actor",
    "Camera",
    "Contents",
    "DomainPicture",
    "Surface",
    "animate_morph",
    "build_surface",
    "choose_report_threshold",
    "choose_threshold",
    "choose_view",
    "draw_coloured_map",
    "draw_contacts",
    "draw_difference",
    "draw_docking",
    "draw_local_resolution",
    "draw_map",
    "draw_maps",
    "draw_morph_strip",
    "draw_mutations",
    "draw_perplexity",
    "figure_png",
    "fit_camera",
    "gather_contents",
    "map_view_density",
    "movie",
    "plot",
    "plot_agreement",
    "plot_confidence",
    "plot_cost",
    "plot_defocus",
    "plot_difference_matrix",
    "plot_displacement",
    "plot_domain_motion",
    "plot_embedding",
    "plot_free_energy",
    "plot_fsc",
    "plot_latent_density",
    "plot_losses",
    "plot_map_scores",
    "plot_matched_maps",
    "plot_measure",
    "plot_noise",
    "plot_populations",
    "plot_programs",
    "plot_residue_differences",
    "plot_shifts",
    "plot_slices",
    "plot_spectrum",
    "plot_state_populations",
    "plot_state_shares",
    "plot_states",
    "plot_uncertainty",
    "plot_views",
    "plot_volume_space",
    "render_scene",
    "report",
    "sample_on_surface",
    "turn_view",
    "write_displacement",
    "write_figure",
    "write_session",
]
