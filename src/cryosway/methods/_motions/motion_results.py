"""The files of a `motions` job: tables, pictures, models, a script for ChimeraX."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.engine import JobFolder, write_json, write_table
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.methods._motions.models import along_direction, write_series
from cryosway.methods._motions.motion_analysis import Motions
from cryosway.methods._motions.motion_measures import Measure
from cryosway.methods._motions.motion_words import SOURCE, say_support, summarise, write_sentences
from cryosway.methods._structural.bead_ensemble import RESIDUES_NAME, BeadEnsemble
from cryosway.protein import describe_residues
from cryosway.report import (
    DISPLACEMENT_NAME,
    DomainPicture,
    choose_report_threshold,
    gather_contents,
    plot_displacement,
    plot_domain_motion,
    plot_measure,
    write_displacement,
    write_figure,
    write_session,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]


def write_results(
    job: JobFolder,
    ensemble: BeadEnsemble,
    found: Motions,
    measures: Sequence[Measure],
    points: int,
) -> None:
    """Write everything but job.json.

    Parameters
    ----------
    job
        Where to.
    ensemble
        What was analysed.
    found
        What moves in it.
    measures
        What was measured.
    points
        Models along the first direction; 0 for none.
    """
    residues = tabulate_residues(ensemble, found)
    write_table(job.path / RESIDUES_NAME, residues)
    write_table(job.path / "particles.parquet", tabulate_particles(ensemble, found))
    numbers = summarise(found, ensemble, measures)
    write_json(job.path / "motions.json", numbers)
    sentences = say_support(ensemble.job.info)
    sentences += write_sentences(numbers, ensemble.uncertainty, found.relative)
    for line in sentences:
        job.log(line)
    figures = list(_draw_figures(job.path, ensemble, found, measures, residues))
    supplement = {"title": "Motions", "sentences": [*sentences, SOURCE], "figures": figures}
    write_json(job.path / "supplement.json", supplement | _tabulate_domains(numbers))
    _copy_particles(job.path, ensemble)
    _copy_map(job, ensemble)
    if points:
        write_series(ensemble, job.path / "models", [along_direction(ensemble.job, 1, points)])
        _write_displacement(job.path / "models", ensemble, found)
    contents = gather_contents(job.path)
    level = choose_report_threshold(contents, masked_by=gather_contents(ensemble.job.path))
    if level is not None:
        write_session(contents, level)
    job.update(motions={"domains": found.domains.count, "motion_angstrom": found.domains.motion})


def tabulate_residues(ensemble: BeadEnsemble, found: Motions) -> pd.DataFrame:
    """Make residues.parquet: a row per bead of the model."""
    coarse = ensemble.coarse
    columns: dict[str, Any] = {
        "chain": coarse.chains,
        "residue_number": coarse.residue_numbers,
        "insertion_code": coarse.insertion_codes,
        "residue_name": coarse.residue_names,
        "domain": found.domains.labels,
        "displacement": found.displacement,
        "displacement_relative": found.relative,
        "displacement_within": found.within,
    }
    if ensemble.uncertainty is not None:
        columns["uncertainty"] = ensemble.uncertainty
    return pd.DataFrame(columns)


def tabulate_particles(ensemble: BeadEnsemble, found: Motions) -> pd.DataFrame:
    """Add to the job's table of particles what was measured in each."""
    added: dict[str, FloatArray] = {}
    for number, move in found.moves.items():
        added[f"domain{number}_angle"] = move.angles
        added[f"domain{number}_shift"] = move.shifts
        added[f"domain{number}_distance"] = move.distances
    table = ensemble.job.particles
    new = pd.DataFrame(added | found.measures, index=table.index)
    return pd.concat([table.drop(columns=list(new), errors="ignore"), new], axis=1)


def _draw_figures(
    folder: Path,
    ensemble: BeadEnsemble,
    found: Motions,
    measures: Sequence[Measure],
    residues: pd.DataFrame,
) -> Iterator[dict[str, str]]:
    """Draw pictures into figures/; give their entries of supplement.json."""

    def keep(name: str, drawn: "Figure", caption: str) -> dict[str, str]:
        write_figure(folder / "figures" / f"{name}.png", drawn)
        return {"file": f"figures/{name}.png", "caption": caption}

    yield keep(
        "displacement",
        plot_displacement(residues),
        "How far every residue moves: rms over the particles from its mean position. The strip "
        "below shows the rigid domains.",
    )
    for number, move in found.moves.items():
        picture = _picture_of(number, ensemble, found)
        ends = "its 5th percentile light, its 95th dark; domain 1 grey"
        what = "shifts along the line" if move.slides else "turns about the axis (red)"
        yield keep(
            f"domain{number}",
            plot_domain_motion(picture),
            f"Domain {number} {what}: {ends}. The histogram counts from the reference model.",
        )
    for measure in measures:
        label = f"{measure.label} ({measure.unit})"
        yield keep(
            measure.name,
            plot_measure(found.measures[measure.name], label),
            f"{measure.name}: {measure.label} over the particles, with its quartiles.",
        )


def _picture_of(number: int, ensemble: BeadEnsemble, found: Motions) -> DomainPicture:
    move, members = found.moves[number], found.domains.members(number)
    own = ensemble.reference[members]
    return DomainPicture(
        number=number,
        reference=ensemble.reference,
        low=move.low.apply(own)[0],
        high=move.high.apply(own)[0],
        members=members,
        fixed=found.domains.members(1),
        bonds=ensemble.coarse.bonds,
        axis=move.screw.axis,
        point=move.screw.point,
        slides=move.slides,
        values=move.shifts if move.slides else move.angles,
    )


def _tabulate_domains(numbers: dict[str, Any]) -> dict[str, Any]:
    """Tabulate the domains for the report; nothing where there are none."""
    if not numbers["domains"]:
        return {}
    moves = {move["domain"]: move for move in numbers["motions"]}
    rows = []
    for domain in numbers["domains"]:
        move = moves.get(domain["domain"])
        turn, shift, closure = "held still", "", ""
        if move is not None:
            turn = f"{move['angle_degrees']:.1f}"
            shift = f"{move['translation_angstrom']:.1f}"
            closure = f"{100 * move['closure']:.0f}"
        rows.append([domain["domain"], domain["residues"], domain["count"], turn, shift, closure])
    header = ["domain", "residues", "count", "turn (°)", "along the axis (Å)", "closure (%)"]
    return {"header": header, "rows": rows}


def _copy_particles(folder: Path, ensemble: BeadEnsemble) -> None:
    """Copy the particle set, so that a selection by what was measured can be exported."""
    path = ensemble.job.path / PARTICLES_NAME
    if path.exists():
        shutil.copyfile(path, folder / PARTICLES_NAME)


def _copy_map(job: JobFolder, ensemble: BeadEnsemble) -> None:
    """Copy the consensus map, which the script for ChimeraX shows with the models."""
    means = [entry for entry in ensemble.job.volumes if entry["kind"] == "mean"][:1]
    place = job.path / "volumes"
    for entry in means:
        place.mkdir(exist_ok=True)
        shutil.copyfile(ensemble.job.path / "volumes" / entry["file"], place / entry["file"])
        write_json(place / "volumes.json", {"volumes": [{**entry, "half_maps": None}]})
        job.update(box=ensemble.job.box, pixel_size=ensemble.job.pixel_size)


def _write_displacement(folder: Path, ensemble: BeadEnsemble, found: Motions) -> None:
    coarse = ensemble.coarse
    names = [describe_residues(coarse, np.array([bead])) for bead in range(len(coarse))]
    write_displacement(folder / DISPLACEMENT_NAME, names, found.relative.tolist())
