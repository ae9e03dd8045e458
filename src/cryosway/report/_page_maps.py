"""The report's sections about maps."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._contents import Contents, MapFile
from cryosway.report._html import figure, folded, heading, paragraph, section, table
from cryosway.report._map_figures import draw_difference, draw_local_resolution, draw_map, draw_maps
from cryosway.report._morph import animate_morph, draw_morph_strip
from cryosway.report._pictures import Pictures
from cryosway.report._resolution import plot_fsc
from cryosway.report._slices import plot_slices
from cryosway.report._style import state_colours
from cryosway.report._threshold import choose_threshold
from cryosway.report._verdict import format_particles
from cryosway.report._viewpoint import choose_view

FloatArray = NDArray[np.floating]
MOST_DRAWN = 12
MOST_SLICED = 6
THRESHOLD_SENTENCE = (
    "All surfaces are drawn at one density level, {level:.3g}, which Otsu's method finds between "
    "molecule and solvent."
)


def choose_report_threshold(contents: Contents, masked_by: Contents | None = None) -> float | None:
    """Choose the one contour level of all maps of the report, from the consensus map.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    masked_by : Contents, optional
        Whose solvent mask is taken; that of `contents` by default.

    Returns
    -------
    float or None
        The level; None where the folder has no map.
    """
    masks = [item.density for item in (masked_by or contents).maps("mask")[:1]]
    for kind in ("mean", "cluster", "path", "state"):
        for item in contents.maps(kind)[:1]:
            fits = masks and masks[0].shape == item.density.shape
            return choose_threshold(item.density, masks[0] if fits else None)
    return None


def make_consensus_section(contents: Contents, pictures: Pictures, level: float) -> str:
    """Show the consensus map: surface, slices, local resolution."""
    maps = contents.maps("mean")[:1]
    if not maps:
        return ""
    return section(
        "consensus", "Consensus map", _show_consensus(contents, pictures, maps[0], level)
    )


def make_cluster_section(contents: Contents, pictures: Pictures, level: float) -> str:
    """Show the maps at cluster centres with the particles that support them."""
    maps = contents.maps("cluster")
    if not maps:
        return ""
    return section("clusters", "Maps at cluster centres", _show_clusters(pictures, maps, level))


def make_traversal_section(contents: Contents, pictures: Pictures, level: float) -> str:
    """Show the maps along the principal directions: strip, animation, difference."""
    parts = [
        part
        for direction, maps in contents.traversals.items()
        if len(maps) > 1
        for part in _show_traversal(pictures, direction, maps, level)
    ]
    return section("directions", "Maps along the principal directions", parts)


def make_resolution_section(contents: Contents, pictures: Pictures) -> str:
    """Show the resolution curves of the consensus, of states and of clusters."""
    parts = []
    curves = contents.curves("fsc")
    if curves:
        data = pictures.save("fsc", plot_fsc(curves))
        parts.append(figure(data, "Fourier shell correlation between independent half-maps. "
                            "The resolution is where the curve falls under 0.143."))  # fmt: skip
    for kind, of in (("state", "states"), ("cluster", "cluster centres")):
        found = [curve for item in contents.maps(kind) if (curve := curve_of_map(item))]
        if found:
            data = pictures.save(f"fsc_{kind}s", plot_fsc(found))
            told = f"The same for the maps at {of}, each from its own half-maps."
            parts.append(figure(data, told))
    return section("resolution", "Resolution", parts)


def _show_consensus(
    contents: Contents, pictures: Pictures, item: MapFile, level: float
) -> Iterator[str]:
    drawn = draw_map(item.density, item.pixel_size, threshold=level, label=caption_map(item))
    averaged = item.label == "consensus"
    what = "The average over all particles" if averaged else f"The map of {item.label}"
    yield figure(pictures.save("consensus", drawn), f"{what}, from two sides. "
                 + THRESHOLD_SENTENCE.format(level=level))  # fmt: skip
    sliced = {"consensus": item.density}
    for cluster in contents.maps("cluster")[: MOST_SLICED - 1]:
        sliced[cluster.label] = cluster.density
    yield figure(pictures.save("slices", plot_slices(sliced, item.pixel_size)),
                 "Central slices, all on the same grey scale.")  # fmt: skip
    for local in contents.maps("local_resolution")[:1]:
        drawn = draw_local_resolution(item.density, local.density, item.pixel_size, threshold=level)
        yield figure(pictures.save("local_resolution", drawn),
                     "The consensus map coloured by its local resolution.")  # fmt: skip


def _show_clusters(pictures: Pictures, maps: list[MapFile], level: float) -> Iterator[str]:
    drawn = draw_group(maps, level)
    yield figure(pictures.save("clusters", drawn), "Maps at the densest point of every cluster, "
                 "in the clusters' colours, at one density level and in one frame.")  # fmt: skip
    yield tabulate_maps(maps)
    yield paragraph(
        "Members are the particles of the cluster. Supporting particles are those with latents "
        "near its centre, (Σw)² / Σw² for weights w that fall off with distance: they are averaged "
        "in the map, or, where a network made it, in its half-maps."
    )


def draw_group(maps: Sequence[MapFile], level: float | None) -> Figure:
    """Draw maps of clusters or states in their colours, from where their differences show.

    Parameters
    ----------
    maps : sequence of MapFile
        In the order of their numbers; the first twelve are drawn.
    level : float or None
        Contour level; chosen where not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = maps[:MOST_DRAWN]
    densities = [item.density for item in shown]
    mean, spread = np.mean(densities, axis=0), np.std(densities, axis=0)
    height = choose_threshold(mean) if level is None else level
    return draw_maps(
        {caption_map(item): item.density for item in shown},
        maps[0].pixel_size,
        threshold=height,
        colours=state_colours(len(maps))[: len(shown)],
        view=choose_view(mean, height, spread if len(shown) > 1 else None),
    )


def _show_traversal(
    pictures: Pictures, direction: int, maps: list[MapFile], level: float
) -> Iterator[str]:
    densities = [item.density for item in maps]
    mean, change = np.mean(densities, axis=0), densities[-1] - densities[0]
    view = choose_view(mean, level, change)
    pixel_size = maps[0].pixel_size
    yield heading(f"Direction {direction}")
    captions = [caption_point(item) for item in maps]
    drawn = draw_morph_strip(densities, pixel_size, captions, threshold=level, view=view)
    yield figure(
        pictures.save(f"direction_{direction}", drawn),
        f"From the 5th to the 95th percentile of the particles along direction {direction}: front "
        "(top) and turned by 90° (bottom). Numbers of particles are of those averaged in each "
        "map, weighed by their distance in the landscape.",
    )
    movie = animate_morph(densities, pixel_size, threshold=level, view=view)
    pictures.keep(f"direction_{direction}.gif", movie)
    yield figure(movie, "The same as a movie, from the same two sides. Between the maps the "
                 "density is interpolated, for the eye only.", narrow=True)  # fmt: skip
    drawn = draw_difference(densities[0], densities[-1], pixel_size, threshold=level, view=view)
    yield figure(pictures.save(f"direction_{direction}_difference", drawn),
                 f"What changes from the start to the end of direction {direction}: density that "
                 "is only at the start in red, only at the end in blue, within the outline of the "
                 "start.")  # fmt: skip
    yield folded("Files, particles and resolutions along this direction", tabulate_maps(maps))


def tabulate_maps(maps: Sequence[MapFile]) -> str:
    """Tabulate files, particles and resolutions of maps."""
    rows = []
    for item in maps:
        members = item.entry.get("population")
        rows.append([
            item.label,
            item.path.name,
            "" if members is None else format_particles(members),
            "" if item.particles is None else format_particles(item.particles),
            "" if item.resolution is None else f"{item.resolution:.1f}",
        ])  # fmt: skip
    header = ["map", "file", "members", "supporting particles", "resolution (Å)"]
    keep = [place for place in range(5) if place < 2 or any(row[place] for row in rows)]
    picked = [[row[place] for place in keep] for row in rows]
    return table([header[place] for place in keep], picked, numeric=len(keep) - 2)


def caption_map(item: MapFile) -> str:
    """Name a map, how many particles are in it and its resolution."""
    facts = [
        _say_members(item.entry.get("population", item.particles)),
        "" if item.resolution is None else f"{item.resolution:.1f} Å",
    ]
    return f"{item.label}\n{', '.join(fact for fact in facts if fact)}".strip()


def _say_members(members: float | None) -> str:
    """Write a count of particles, or the share of them that a state has."""
    if members is None:
        return ""
    if isinstance(members, float) and members <= 1:
        return f"{100 * members:.2g} % of particles"
    return f"{format_particles(members)} particles"


def caption_point(item: MapFile) -> str:
    """Name a point of a traversal, in short lines."""
    lines = [f"{item.entry.get('point', item.label)}"]
    if item.particles is not None:
        lines.append(f"{format_particles(item.particles)} particles")
    if item.resolution is not None:
        lines.append(f"{item.resolution:.1f} Å")
    return "\n".join(lines)


def curve_of_map(item: MapFile) -> dict[str, object] | None:
    """Give the FSC curve of a map's own half-maps, where it has them."""
    values = item.entry.get("fsc")
    if not values:
        return None
    frequency = np.arange(len(values)) / (2 * len(values) * item.pixel_size)
    return {"label": item.label, "frequency_per_angstrom": frequency, "value": values,
            "resolution_angstrom": item.resolution}  # fmt: skip
