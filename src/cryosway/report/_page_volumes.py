"""The report's section about a landscape seen by its volumes."""

from collections.abc import Iterator
from typing import Any

from cryosway.report._contents import Contents
from cryosway.report._html import figure, paragraph, section
from cryosway.report._page_maps import draw_group, tabulate_maps
from cryosway.report._pictures import Pictures
from cryosway.report._volume_plane import plot_volume_space

_PREDICTED = 0.5  # R² from which a component may be read


def make_volumes_section(contents: Contents, pictures: Pictures, level: float | None) -> str:
    """Show the space of volumes, and the map of the most typical volume of each cluster."""
    found = contents.main.volume_space
    if not found:
        return ""
    title = "Landscape of volumes"
    return section("volumes", title, _show_volumes(contents, pictures, found, level))


def _show_volumes(
    contents: Contents, pictures: Pictures, found: dict[str, Any], level: float | None
) -> Iterator[str]:
    yield paragraph(_describe(found))
    particles = contents.particles
    if particles is not None and {"vpc2", "volume_cluster"} <= set(particles):
        drawn = plot_volume_space(found, particles)
        yield figure(pictures.save("volume_space", drawn),
                     "Every particle where its volume lies along the first two principal "
                     "components of the volumes, and what each component explains of their "
                     "variance. Above each is R² of its prediction from latents, for volumes that "
                     "were left out: do not read a component whose R² is low.")  # fmt: skip
    maps = contents.maps("volume_cluster")
    if maps:
        yield figure(pictures.save("volume_clusters", draw_group(maps, level)),
                     "The map at the most typical volume of every cluster (its medoid), in the "
                     "clusters' colours, at one density level and in one frame.")  # fmt: skip
        yield tabulate_maps(maps)


def _describe(found: dict[str, Any]) -> str:
    """Say what was compared, and what came of it."""
    share, known = found["explained_variance"], found["mapping"]["r_squared_left_out"]
    readable = sum(value >= _PREDICTED for value in known)
    count = len(found["clusters"])
    clusters = "one cluster" if count == 1 else f"{count} clusters"
    return (
        f"{found['volumes']} volumes over the landscape were compared voxel by voxel within the "
        f"mask, at {found['low_pass_angstrom']:.2g} Å. The first component explains "
        f"{100 * share[0]:.0f} % of their variance, the second {100 * share[1]:.0f} %; "
        f"{readable} of {len(known)} components follow from the latents (R² of 0.5 or more). "
        f"The volumes form {clusters} ({found.get('linkage', 'average')} linkage)."
    )
