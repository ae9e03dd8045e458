"""The figures of the report, one call each, as ``cs.plot``: for notebooks and papers.

>>> import cryosway as cs
>>> cs.plot.landscape("job2")  # doctest: +SKIP
>>> cs.plot.fsc("job2").savefig("fsc.pdf")  # doctest: +SKIP

Every function takes a `Job` or its folder and gives a `matplotlib.figure.Figure`, which notebooks
show; `animation` and `models` give a GIF. Figures that a command draws itself, as those of
`validate` or `compare`, are given by `picture` as they are stored. What a job does not hold yet is
said with the command that makes it.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import final

from matplotlib.figure import Figure

from cryosway.report._acquisition import plot_defocus, plot_shifts
from cryosway.report._free_energy import plot_free_energy, plot_state_populations
from cryosway.report._latent import (
    find_paths_in_plane,
    latent_columns,
    plot_embedding,
    plot_latent_density,
    plot_populations,
    plot_states,
)
from cryosway.report._map_figures import draw_difference, draw_local_resolution, draw_map
from cryosway.report._morph import animate_morph, draw_morph_strip
from cryosway.report._movie import animate_models
from cryosway.report._page_maps import (
    caption_map,
    caption_point,
    curve_of_map,
    draw_group,
)
from cryosway.report._requirements import (
    JobLike,
    choose_level,
    name_command,
    open_contents,
    require_columns,
    require_direction,
    require_maps,
    require_particles,
    say_absent,
)
from cryosway.report._resolution import plot_fsc, plot_noise
from cryosway.report._slices import plot_slices
from cryosway.report._spectrum import plot_spectrum
from cryosway.report._style import show_picture
from cryosway.report._tube import read_traces
from cryosway.report._views import plot_views
from cryosway.report._volume_plane import plot_volume_space

__all__ = [
    "Animation",
    "animation",
    "consensus",
    "defocus",
    "difference",
    "embedding",
    "free_energy",
    "fsc",
    "landscape",
    "local_resolution",
    "maps",
    "models",
    "morph",
    "noise",
    "picture",
    "populations",
    "shifts",
    "slices",
    "spectrum",
    "states",
    "views",
    "volume_space",
]

_MAKES = {"cluster": "landscape", "state": "states", "volume_cluster": "landscape --volumes 300"}


@final
@dataclass(frozen=True)
class Animation:
    """A looping GIF that a notebook plays.

    Attributes
    ----------
    data : bytes
        The file.
    """

    data: bytes

    def _repr_html_(self) -> str:
        return f'<img src="data:image/gif;base64,{base64.b64encode(self.data).decode()}">'

    def save(self, path: str | Path) -> Path:
        """Write the GIF; for other kinds and sizes see `cryosway.movie`."""
        Path(path).write_bytes(self.data)
        return Path(path)


def landscape(job: JobLike) -> Figure:
    """Plot how densely particles lie in the plane of the first two directions, and by cluster."""
    contents = open_contents(job)
    particles = require_particles(contents)
    if not latent_columns(particles):
        raise say_absent(contents, "latents", "give a job of a method that finds them")
    return plot_latent_density(particles, find_paths_in_plane(contents.main.landscape, particles))


def embedding(job: JobLike) -> Figure:
    """Plot the UMAP embedding of the latents."""
    contents = open_contents(job)
    particles = require_particles(contents)
    if "umap1" not in particles:
        raise say_absent(contents, "embedding", name_command("landscape", contents))
    return plot_embedding(particles)


def states(job: JobLike) -> Figure:
    """Plot the likeliest state of every particle, and clusters that gaps of density part."""
    contents = open_contents(job)
    particles = require_particles(contents)
    if "state" not in particles:
        raise say_absent(contents, "states", name_command("states", contents))
    return plot_states(particles)


def volume_space(job: JobLike) -> Figure:
    """Plot the particles among the principal components of volumes over the landscape."""
    contents = open_contents(job)
    found = contents.main.volume_space
    if not found:
        raise say_absent(contents, "volume space", name_command(_MAKES["volume_cluster"], contents))
    return plot_volume_space(found, require_columns(contents, "vpc1", "vpc2", "volume_cluster"))


def populations(job: JobLike, kind: str | None = None) -> Figure:
    """Plot the populations of the states with their intervals, or how many each cluster holds.

    Parameters
    ----------
    job : Job or path
        After `landscape` or `states`.
    kind : str, optional
        ``state`` or ``cluster``; by default states where they are known.
    """
    contents = open_contents(job)
    if contents.main.states and kind != "cluster":
        return plot_state_populations(contents.main.states)
    particles = require_particles(contents)
    if "cluster" not in particles or kind == "state":
        raise say_absent(
            contents, "states" if kind else "states or clusters", name_command("states", contents)
        )
    return plot_populations(particles)


def free_energy(job: JobLike) -> Figure:
    """Plot free energies along the leading directions and in their plane."""
    contents = open_contents(job)
    if not contents.main.states:
        raise say_absent(contents, "free energies", name_command("states", contents))
    return plot_free_energy(contents.main.states)


def spectrum(job: JobLike) -> Figure:
    """Plot the variance that each component explains, and what noise alone would give."""
    contents = open_contents(job)
    found = contents.curves("spectrum")
    if not found or not found.get("variance_explained"):
        raise say_absent(contents, "spectrum of components", "give a job of linear")
    return plot_spectrum(found)


def fsc(job: JobLike, kind: str = "mean") -> Figure:
    """Plot Fourier shell correlations between half-maps.

    Parameters
    ----------
    job : Job or path
        With half-maps.
    kind : str
        ``mean`` for the consensus, ``state``, ``cluster`` or ``volume_cluster`` for their maps.
    """
    contents = open_contents(job)
    if kind == "mean":
        curves = contents.curves("fsc")
    else:
        items = require_maps(contents, kind, name_command(_MAKES.get(kind, "landscape"), contents))
        curves = [curve for item in items if (curve := curve_of_map(item))]
    if not curves:
        raise say_absent(contents, "FSC curve", "its method makes no half-maps")
    return plot_fsc(curves)


def noise(job: JobLike) -> Figure:
    """Plot the power of the noise in the images at every spatial frequency."""
    contents = open_contents(job)
    found = contents.curves("noise")
    if not found:
        raise say_absent(contents, "noise spectrum", "its method measures none")
    return plot_noise(found)


def views(job: JobLike) -> Figure:
    """Plot the directions from which the particles are seen."""
    return plot_views(require_columns(open_contents(job), "rot", "tilt"))


def defocus(job: JobLike) -> Figure:
    """Plot defocus and astigmatism of the particles."""
    return plot_defocus(require_columns(open_contents(job), "defocus_u", "defocus_v"))


def shifts(job: JobLike) -> Figure:
    """Plot the shifts that centre the particles."""
    return plot_shifts(require_columns(open_contents(job), "shift_x", "shift_y"))


def consensus(job: JobLike, *, threshold: float | None = None) -> Figure:
    """Draw the consensus map from two sides.

    Parameters
    ----------
    job : Job or path
        With a consensus map.
    threshold : float, optional
        Contour level; that of the report where not given.
    """
    contents = open_contents(job)
    item = require_maps(contents, "mean", "see its log.txt for how far it came")[0]
    level = choose_level(contents, threshold)
    return draw_map(item.density, item.pixel_size, threshold=level, label=caption_map(item))


def local_resolution(job: JobLike, *, threshold: float | None = None) -> Figure:
    """Draw the consensus map coloured by its local resolution; arguments as of `consensus`."""
    contents = open_contents(job)
    hint = "run cryosway backproject, which measures it"
    local = require_maps(contents, "local_resolution", hint)[0]
    item = require_maps(contents, "mean", hint)[0]
    level = choose_level(contents, threshold)
    return draw_local_resolution(item.density, local.density, item.pixel_size, threshold=level)


def slices(job: JobLike) -> Figure:
    """Draw central slices of the consensus map and of the first clusters."""
    contents = open_contents(job)
    items = require_maps(contents, "mean", "see its log.txt for how far it came")[:1]
    shown = {item.label: item.density for item in [*items, *contents.maps("cluster")[:4]]}
    return plot_slices(shown, items[0].pixel_size)


def maps(job: JobLike, kind: str = "cluster", *, threshold: float | None = None) -> Figure:
    """Draw the maps of clusters or states as isosurfaces, in the colours of the other figures.

    Parameters
    ----------
    job : Job or path
        After `landscape` or `states`.
    kind : str
        ``cluster``, ``state`` or ``volume_cluster``.
    threshold : float, optional
        Contour level; that of the report where not given.
    """
    contents = open_contents(job)
    items = require_maps(contents, kind, name_command(_MAKES.get(kind, "landscape"), contents))
    return draw_group(items, choose_level(contents, threshold))


def morph(job: JobLike, direction: int = 1, *, threshold: float | None = None) -> Figure:
    """Draw the maps along a principal direction side by side.

    Parameters
    ----------
    job : Job or path
        After `landscape`.
    direction : int
        Number of the direction, from 1.
    threshold : float, optional
        Contour level; that of the report where not given.
    """
    contents = open_contents(job)
    items = require_direction(contents, direction)
    level = choose_level(contents, threshold)
    captions = [caption_point(item) for item in items]
    densities = [item.density for item in items]
    return draw_morph_strip(densities, items[0].pixel_size, captions, threshold=level)


def difference(job: JobLike, direction: int = 1, *, threshold: float | None = None) -> Figure:
    """Draw what changes between the ends of a principal direction; arguments as of `morph`."""
    contents = open_contents(job)
    items = require_direction(contents, direction)
    level = choose_level(contents, threshold)
    return draw_difference(
        items[0].density, items[-1].density, items[0].pixel_size, threshold=level
    )


def animation(job: JobLike, direction: int = 1, *, threshold: float | None = None) -> Animation:
    """Play the maps along a principal direction; arguments as of `morph`."""
    contents = open_contents(job)
    items = require_direction(contents, direction)
    level = choose_level(contents, threshold)
    densities = [item.density for item in items]
    return Animation(animate_morph(densities, items[0].pixel_size, threshold=level))


def models(job: JobLike) -> Animation:
    """Play the first series of atomic models as tubes that are red where they move."""
    contents = open_contents(job)
    series = [item for item in contents.main.models if item.count > 1]
    if not series:
        raise say_absent(
            contents, "series of models", "a job of a method that makes models has one"
        )
    return Animation(animate_models(read_traces([series[0].path])))


def picture(job: JobLike, name: str) -> Figure:
    """Show a stored picture, such as one that `validate`, `compare` or `bench score` drew.

    Parameters
    ----------
    job : Job or path
        With a folder ``figures/``.
    name : str
        Of the file, without ``.png``.
    """
    contents = open_contents(job)
    folders = dict.fromkeys((contents.root, *(stage.path for stage in contents.stages)))
    found = {path.stem: path for folder in folders for path in (folder / "figures").glob("*.png")}
    if name not in found:
        known = ", ".join(sorted(found))
        hint = f"there are {known}" if known else name_command("report", contents)
        raise say_absent(contents, f"picture {name}", hint)
    return show_picture(found[name].read_bytes())
