"""The report's sections about latents, particles and the run itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cryosway.engine import format_duration
from cryosway.report._acquisition import plot_defocus, plot_shifts
from cryosway.report._contents import Contents, Stage
from cryosway.report._html import code, facts, figure, folded, heading, paragraph, section, table
from cryosway.report._latent import (
    find_paths_in_plane,
    latent_columns,
    plot_embedding,
    plot_latent_density,
    plot_populations,
)
from cryosway.report._pictures import Pictures
from cryosway.report._reproduce import list_commands
from cryosway.report._resolution import plot_noise
from cryosway.report._spectrum import plot_spectrum
from cryosway.report._verdict import format_particles, is_bad
from cryosway.report._views import plot_views

CITE_PACKAGE = "cryosway: name the package and its version, given above under “What was run”."
CITE_LINEAR = (
    "Linear subspace models of cryo-EM heterogeneity: A. Punjani and D. J. Fleet, J. Struct. Biol. "
    "213, 107702 (2021), doi:10.1016/j.jsb.2021.107702; M. A. Gilles and A. Singer, PNAS 122, "
    "e2419140122 (2025), doi:10.1073/pnas.2419140122."
)
CITE_RESOLUTION = (
    "Resolution at a Fourier shell correlation of 0.143: P. B. Rosenthal and R. Henderson, J. Mol. "
    "Biol. 333, 721 (2003), doi:10.1016/j.jmb.2003.07.013."
)
CITE_UMAP = (
    "UMAP: L. McInnes, J. Healy and J. Melville, arXiv:1802.03426 (2018). Distances and densities "
    "in an embedding are not those of the latent space."
)


def make_landscape_section(contents: Contents, pictures: Pictures) -> str:
    """Show the spectrum, the latent space, the embedding and the populations."""
    return section("landscape", "Landscape", _show_landscape(contents, pictures))


def make_particles_section(contents: Contents, pictures: Pictures) -> str:
    """Show the checks of the input, views, defocus, shifts and noise."""
    return section("particles", "Particles, optics and noise", _show_particles(contents, pictures))


def make_supplement_section(contents: Contents, pictures: Pictures) -> str:
    """Show what a step adds of its own, as the demo's comparison with the truth."""
    parts = [
        section(stage.name, str(stage.supplement["title"]), show_supplement(stage, pictures))
        for stage in contents.stages
        if stage.supplement
    ]
    return "\n".join(parts)


def show_supplement(stage: Stage, pictures: Pictures) -> Iterator[str]:
    """Show the section that a folder has of its own."""
    added = stage.supplement
    yield from (paragraph(sentence) for sentence in added.get("sentences", []))
    for entry in added.get("figures", []):
        path = stage.path / entry["file"]
        if path.exists():
            yield figure(pictures.keep(path.name, path.read_bytes()), str(entry["caption"]))
    if rows := added.get("rows"):
        cells = [[_say_value(cell) for cell in row] for row in rows]
        yield table(added["header"], cells, numeric=len(added["header"]) - 1)


def make_decisions_section(contents: Contents) -> str:
    """Tabulate what was decided, and why."""
    rows = [
        [entry.get("what", ""), _say_value(entry.get("value")), entry.get("why", "")]
        for stage in contents.folders
        for entry in stage.decisions
    ]
    return section("decisions", "What was decided, and why",
                   [table(["what", "choice", "why"], rows)] if rows else [])  # fmt: skip


def make_warnings_section(contents: Contents) -> str:
    """List the warnings of all steps."""
    told: dict[str, str] = {}
    for stage in reversed(contents.folders):  # the step itself, rather than the run around it
        told |= {text: stage.name for text in stage.warnings if text not in told}
    rows = [[name, text] for text, name in reversed(told.items())]
    return section("warnings", "Warnings", [table(["step", "warning"], rows)] if rows else [])


def make_run_section(contents: Contents) -> str:
    """Tell what was run: inputs, options, versions, times, memory."""
    return section("run", "What was run", _show_run(contents))


def make_next_section(contents: Contents, validation: Path | None, *, has_maps: bool) -> str:
    """Tell how to reproduce, how to open the maps, how to cite."""
    parts = [
        heading("Reproduce"),
        paragraph("The same commands on the same input give the same answer:"),
        code("\n".join(list_commands(contents, validation))),
    ]
    if has_maps:
        parts += [
            heading("Open in ChimeraX"),
            paragraph(
                "The script opens all maps of this page at the same level; in the job folder:"
            ),
            code("chimerax session.cxc"),
        ]
    parts.append(heading("Cite"))
    parts += [paragraph(text) for text in _list_citations(contents)]
    return section("next", "Reproduce, look closer, cite", parts)


def _list_citations(contents: Contents) -> Iterator[str]:
    """Name the papers behind what was used."""
    yield CITE_PACKAGE
    if any(stage.info.get("command") == "linear" for stage in contents.stages):
        yield CITE_LINEAR
    if contents.curves("fsc"):
        yield CITE_RESOLUTION
    if contents.particles is not None and "umap1" in contents.particles:
        yield CITE_UMAP


def describe_input(contents: Contents) -> str:
    """Say in one line what was run on what."""
    parts = [f"cryosway {contents.info.get('command', 'job')}"]
    particles = contents.particles
    if particles is not None:
        parts.append(f"{len(particles):,} particles")
    for item in (*contents.maps("mean"), *contents.maps("cluster")):
        parts.append(f"box of {item.density.shape[0]} px at {item.pixel_size:.4g} Å/px")
        break
    parts.append(_say_time(contents.info.get("created")))
    return " · ".join(part for part in parts if part)


def _show_landscape(contents: Contents, pictures: Pictures) -> Iterator[str]:
    spectrum = contents.curves("spectrum")
    if spectrum and spectrum.get("variance_explained"):
        yield figure(pictures.save("spectrum", plot_spectrum(spectrum)),
                     "Variance along every component, as a part of the mean map's power. Those "
                     "that stand out from noise (p < 0.01) are blue; the dark line is what noise "
                     "alone gives.")  # fmt: skip
    particles = contents.particles
    if particles is None or not latent_columns(particles):
        return
    drawn = plot_latent_density(particles, find_paths_in_plane(contents.main.landscape, particles))
    yield figure(pictures.save("latents", drawn),
                 "Every particle in the plane of the first two principal directions of its latent. "
                 "One unit is the typical uncertainty of one particle.")  # fmt: skip
    if "umap1" in particles:
        yield figure(pictures.save("umap", plot_embedding(particles)),
                     "UMAP embedding of all latent dimensions: neighbours stay neighbours, but "
                     "distances and densities are not to be read as such.")  # fmt: skip
    if "cluster" in particles and particles["cluster"].nunique() > 1:
        yield figure(pictures.save("populations", plot_populations(particles)),
                     "Particles per cluster. The clusters cut the landscape into pieces for "
                     "viewing; their number is a choice, not a finding.")  # fmt: skip


def _show_particles(contents: Contents, pictures: Pictures) -> Iterator[str]:
    checks = [check for stage in contents.stages for check in stage.checks]
    if checks:
        yield table(["check", "found", "verdict", "meaning"], map(_describe_check, checks))
    particles = contents.particles
    if particles is not None:
        yield from _show_columns(particles, pictures)
    noise = contents.curves("noise")
    if noise:
        yield figure(pictures.save("noise", plot_noise(noise)),
                     "Power of the noise in the images at every spatial frequency.")  # fmt: skip


def _show_columns(particles: pd.DataFrame, pictures: Pictures) -> Iterator[str]:
    if {"rot", "tilt"} <= set(particles):
        yield figure(pictures.save("views", plot_views(particles)),
                     "Directions from which the particles are seen (Mollweide's equal-area map of "
                     "the sphere): 1 is as dense as if views were spread evenly.")  # fmt: skip
    if {"defocus_u", "defocus_v"} <= set(particles):
        yield figure(pictures.save("defocus", plot_defocus(particles)),
                     "Defocus and astigmatism of the particles.")  # fmt: skip
    if {"shift_x", "shift_y"} <= set(particles):
        yield figure(pictures.save("shifts", plot_shifts(particles)),
                     "Shifts that centre the particles.")  # fmt: skip


def _describe_check(check: dict[str, Any]) -> list[str]:
    verdict = str(check.get("verdict", ""))
    mark = f"✗ {verdict}" if is_bad(check) else verdict
    return [str(check.get("name", "")), _say_value(check.get("value")), mark,
            str(check.get("sentence", ""))]  # fmt: skip


def _show_run(contents: Contents) -> Iterator[str]:
    for stage in [Stage("run", contents.root, contents.info), *contents.stages]:
        if stage.path == contents.root and len(contents.stages) == 1 and stage.name == "run":
            continue
        yield heading(f"{stage.info.get('command', stage.name)}")
        repeated = stage.path != contents.root
        yield facts(_list_facts(stage, contents.info.get("versions") if repeated else None))
        options = [[name, _say_value(value)] for name, value in
                   (stage.info.get("config") or {}).items()]  # fmt: skip
        if options:
            yield folded("All options", table(["option", "value"], options))
        inputs = [[name, _say_value(value)] for name, value in
                  (stage.info.get("inputs") or {}).items()]  # fmt: skip
        if inputs:
            yield folded("Input files", table(["input", "fingerprint"], inputs))


def _say_time(stamp: Any) -> str:
    """Write an ISO time as a reader wants it, to the minute."""
    return str(stamp or "")[:16].replace("T", " ") + (" UTC" if stamp else "")


def _list_facts(stage: Stage, known_versions: dict[str, str] | None) -> Iterator[tuple[str, str]]:
    """List a step's facts; its versions only where they differ from those already told."""
    info = stage.info
    yield "status", str(info.get("status", "unknown"))
    if info.get("seed") is not None:
        yield "seed", str(info["seed"])
    timings = info.get("timings") or {}
    spent = [f"{name} {format_duration(seconds)}" for name, seconds in timings.items()]
    if spent:
        yield "time", ", ".join(spent)
    if info.get("peak_memory_bytes"):
        yield "peak memory", f"{info['peak_memory_bytes'] / 2**30:.2f} GiB"
    versions = info.get("versions") or {}
    if versions and versions != known_versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    if info.get("created"):
        yield "started", _say_time(info["created"])


def _say_value(value: Any) -> str:
    """Write a value of JSON for a reader."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return format_particles(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_say_value(one) for one in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_say_value(one)}" for name, one in value.items())
    return str(value)
