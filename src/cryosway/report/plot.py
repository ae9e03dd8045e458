"""The figures of the report, one call each, as ``cs.plot``: for notebooks and papers.

>>> import cryosway as cs
>>> cs.plot.landscape("job2")  # doctest: +SKIP
>>> cs.plot.fsc("job2").savefig("fsc.pdf")  # doctest: +SKIP

Every function takes a `Job` or its folder and gives a `matplotlib.figure.Figure`, which notebooks
show; `animation` gives a GIF. What a job does not hold yet is said with the command that makes it.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.jobs import Job, open_job
from cryosway.report._acquisition import plot_defocus
from cryosway.report._contents import Contents, MapFile, gather_contents
from cryosway.report._free_energy import plot_free_energy, plot_state_populations
from cryosway.report._latent import (
    find_paths_in_plane,
    latent_columns,
    plot_embedding,
    plot_latent_density,
    plot_populations,
)
from cryosway.report._map_figures import draw_difference, draw_map, draw_maps
from cryosway.report._morph import animate_morph, draw_morph_strip
from cryosway.report._page_maps import caption_map, caption_point, choose_report_threshold
from cryosway.report._resolution import plot_fsc
from cryosway.report._slices import plot_slices
from cryosway.report._spectrum import plot_spectrum
from cryosway.report._style import state_colours
from cryosway.report._views import plot_views

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
    "maps",
    "morph",
    "populations",
    "slices",
    "spectrum",
    "views",
]

JobLike = Job | str | Path
FloatArray = NDArray[np.floating]


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
    contents = _open(job)
    particles = _require_particles(contents)
    if not latent_columns(particles):
        raise _absent(contents, "latents", "give a job of a method that finds them")
    return plot_latent_density(particles, find_paths_in_plane(contents.main.landscape, particles))


def embedding(job: JobLike) -> Figure:
    """Plot the UMAP embedding of the latents."""
    contents = _open(job)
    particles = _require_particles(contents)
    if "umap1" not in particles:
        raise _absent(contents, "embedding", _run("landscape", contents))
    return plot_embedding(particles)


def populations(job: JobLike) -> Figure:
    """Plot the populations of the states with their intervals; before `states`, of clusters."""
    contents = _open(job)
    if contents.main.states:
        return plot_state_populations(contents.main.states)
    particles = _require_particles(contents)
    if "cluster" not in particles:
        raise _absent(contents, "states or clusters", _run("states", contents))
    return plot_populations(particles)


def free_energy(job: JobLike) -> Figure:
    """Plot free energies along the leading directions and in their plane."""
    contents = _open(job)
    if not contents.main.states:
        raise _absent(contents, "free energies", _run("states", contents))
    return plot_free_energy(contents.main.states)


def spectrum(job: JobLike) -> Figure:
    """Plot the variance that each component explains, and what noise alone would give."""
    contents = _open(job)
    found = contents.curves("spectrum")
    if not found or not found.get("variance_explained"):
        raise _absent(contents, "spectrum of components", "give a job of linear")
    return plot_spectrum(found)


def fsc(job: JobLike) -> Figure:
    """Plot the Fourier shell correlation of the consensus half-maps."""
    contents = _open(job)
    curves = contents.curves("fsc")
    if not curves:
        raise _absent(contents, "FSC curve", "its method makes no half-maps")
    return plot_fsc(curves)


def views(job: JobLike) -> Figure:
    """Plot the directions from which the particles are seen."""
    return plot_views(_require_columns(_open(job), "rot", "tilt"))


def defocus(job: JobLike) -> Figure:
    """Plot defocus and astigmatism of the particles."""
    return plot_defocus(_require_columns(_open(job), "defocus_u", "defocus_v"))


def consensus(job: JobLike, *, threshold: float | None = None) -> Figure:
    """Draw the consensus map from two sides.

    Parameters
    ----------
    job : Job or path
        With a consensus map.
    threshold : float, optional
        Contour level; that of the report where not given.
    """
    contents = _open(job)
    item = _require_maps(contents, "mean", "see its log.txt for how far it came")[0]
    level = _choose_level(contents, threshold)
    return draw_map(item.density, item.pixel_size, threshold=level, label=caption_map(item))


def slices(job: JobLike) -> Figure:
    """Draw central slices of the consensus map and of the first clusters."""
    contents = _open(job)
    items = _require_maps(contents, "mean", "see its log.txt for how far it came")[:1]
    shown = {item.label: item.density for item in [*items, *contents.maps("cluster")[:4]]}
    return plot_slices(shown, items[0].pixel_size)


def maps(job: JobLike, kind: str = "cluster", *, threshold: float | None = None) -> Figure:
    """Draw the maps of clusters or states as isosurfaces, in the colours of the other figures.

    Parameters
    ----------
    job : Job or path
        After `landscape` or `states`.
    kind : str
        ``cluster`` or ``state``.
    threshold : float, optional
        Contour level; that of the report where not given.
    """
    contents = _open(job)
    command = {"cluster": "landscape", "state": "states"}.get(kind, "landscape")
    items = _require_maps(contents, kind, _run(command, contents))
    return draw_maps(
        {caption_map(item): item.density for item in items},
        items[0].pixel_size,
        threshold=_choose_level(contents, threshold),
        colours=state_colours(len(items)),
    )


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
    contents = _open(job)
    items = _require_direction(contents, direction)
    level = _choose_level(contents, threshold)
    captions = [caption_point(item) for item in items]
    densities = [item.density for item in items]
    return draw_morph_strip(densities, items[0].pixel_size, captions, threshold=level)


def difference(job: JobLike, direction: int = 1, *, threshold: float | None = None) -> Figure:
    """Draw what changes between the ends of a principal direction; arguments as of `morph`."""
    contents = _open(job)
    items = _require_direction(contents, direction)
    level = _choose_level(contents, threshold)
    return draw_difference(
        items[0].density, items[-1].density, items[0].pixel_size, threshold=level
    )


def animation(job: JobLike, direction: int = 1, *, threshold: float | None = None) -> Animation:
    """Play the maps along a principal direction; arguments as of `morph`."""
    contents = _open(job)
    items = _require_direction(contents, direction)
    level = _choose_level(contents, threshold)
    densities = [item.density for item in items]
    return Animation(animate_morph(densities, items[0].pixel_size, threshold=level))


def _open(job: JobLike) -> Contents:
    return gather_contents(open_job(job).path)


def _choose_level(contents: Contents, threshold: float | None) -> float | None:
    return choose_report_threshold(contents) if threshold is None else threshold


def _require_particles(contents: Contents) -> pd.DataFrame:
    particles = contents.particles
    if particles is None:
        raise _absent(contents, "particles", "its method lists none")
    return particles


def _require_columns(contents: Contents, *names: str) -> pd.DataFrame:
    particles = _require_particles(contents)
    if not set(names) <= set(particles):
        raise _absent(contents, " and ".join(names), "its particles come without")
    return particles


def _require_maps(contents: Contents, kind: str, hint: str) -> list[MapFile]:
    items = contents.maps(kind)
    if not items:
        raise _absent(contents, f"maps of kind {kind}", hint)
    return items


def _require_direction(contents: Contents, direction: int) -> list[MapFile]:
    items = contents.traversals.get(direction, [])
    if len(items) < 2:
        known = ", ".join(map(str, contents.traversals))
        hint = f"there are {known}" if known else _run("landscape", contents)
        raise _absent(contents, f"maps along direction {direction}", hint)
    return items


def _run(command: str, contents: Contents) -> str:
    return f"run cryosway {command} {contents.root} first"


def _absent(contents: Contents, what: str, hint: str) -> CryoswayError:
    return CryoswayError(f"{contents.root} holds no {what}; {hint}")
