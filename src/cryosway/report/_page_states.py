"""The report's section about states: who is where, how many, and what they look like."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from cryosway.report._contents import Contents, MapFile
from cryosway.report._free_energy import plot_free_energy, plot_state_populations
from cryosway.report._html import figure, paragraph, section, table
from cryosway.report._latent import latent_columns, plot_states
from cryosway.report._page_maps import draw_group
from cryosway.report._pictures import Pictures
from cryosway.report._states import describe_states, format_population
from cryosway.report._verdict import format_particles


def make_states_section(contents: Contents, pictures: Pictures, level: float | None) -> str:
    """Show states, populations with intervals, free energies and the maps of states."""
    found = contents.main.states
    if not found:
        return ""
    return section("states", "States", _show_states(contents, pictures, found, level))


def _show_states(
    contents: Contents, pictures: Pictures, found: dict[str, Any], level: float | None
) -> Iterator[str]:
    maps = contents.maps("state")
    yield from (paragraph(sentence) for sentence in describe_states(found, maps))
    if len(found["states"]) > 1:
        yield _tabulate_states(found, maps)
        yield figure(pictures.save("states", plot_state_populations(found)),
                     "Population of every state with its interval; as if views were even; and as "
                     "plain counting has it.")  # fmt: skip
    if len(maps) > 1:
        yield figure(pictures.save("state_maps", draw_group(maps, level)),
                     "The map of every state, in the states' colours, at one density level and in "
                     "one frame.")  # fmt: skip
    yield figure(pictures.save("free_energy", plot_free_energy(found)),
                 "Free energy −kT ln p of the molecules, without the errors of the particles; a "
                 "contour is 1 kT. Bands are intervals if the particles' uncertainties are right; "
                 "where those are too small, so are the bands.")  # fmt: skip
    particles = contents.particles
    if particles is not None and _tells_groups(particles):
        yield figure(pictures.save("particles_by_state", plot_states(particles)),
                     "The likeliest state of every particle, and beside it clusters of any shape "
                     "that gaps of density part (HDBSCAN; grey: between them), which know nothing "
                     "of the particles' errors.")  # fmt: skip


def _tells_groups(particles: pd.DataFrame) -> bool:
    groups = particles.columns.intersection(["state", "density_cluster"])
    return (
        "state" in groups
        and bool(latent_columns(particles))
        and any(particles[name].nunique() > 1 for name in groups)
    )


def _tabulate_states(found: dict[str, Any], maps: list[MapFile]) -> str:
    """Tabulate populations with their intervals, and the maps."""
    by_state = {item.entry.get("state"): item for item in maps}
    rows = []
    for state in found["states"]:
        item = by_state.get(state["state"])
        halves = state.get("population_of_halves")
        supporting = None if item is None else item.particles
        resolution = None if item is None else item.resolution
        rows.append([
            str(state["state"]),
            "" if item is None else item.path.name,
            format_population(state, "population"),
            format_population(state, "population_even_views"),
            "" if halves is None else " and ".join(f"{100 * share:.3g}" for share in halves),
            f"{100 * state['counted']:.3g}",
            "" if supporting is None else format_particles(supporting),
            "" if resolution is None else f"{resolution:.1f}",
        ])  # fmt: skip
    header = ["state", "map", "population (%)", "if views were even (%)", "half-sets (%)",
              "counted (%)", "supporting particles", "resolution (Å)"]  # fmt: skip
    keep = [place for place in range(len(header)) if any(row[place] for row in rows)]
    picked = [[row[place] for place in keep] for row in rows]
    return table([header[place] for place in keep], picked, numeric=sum(p > 1 for p in keep))
