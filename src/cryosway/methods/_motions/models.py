"""`write_models`: all atoms at chosen latents of a structural job, as mmCIF."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import Progress, explain_os_errors, read_json, write_json
from cryosway.jobs import Job, open_job
from cryosway.landscape import (
    fit_principal_axes,
    read_cluster_centres,
    read_state_centres,
    trace_direction,
)
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.protein import write_structure

FloatArray = npt.NDArray[np.float64]

MODELS_NAME = "models.json"
POINTS = 9


def write_models(
    job: Job | str | Path,
    out: str | Path,
    *,
    latents: Sequence[npt.ArrayLike] = (),
    particles: Iterable[int] = (),
    cluster_centres: bool = False,
    states: bool = False,
    directions: Iterable[int] = (),
    path: bool = False,
    points: int = POINTS,
    files: Literal["ensembles", "single"] = "ensembles",
) -> list[Path]:
    """Write atomic models of a structural job at chosen latents.

    All atoms are rebuilt on the moved residues: bond lengths and angles are those of the model
    that the job was given, and ligands go with their neighbours. Models lie on the job's maps.
    Where the job has measured the uncertainty u of its residues, B factors are 8π²/3 u². Where
    chains are missing in some particles, occupancies say in how many of those near the latent
    they are there.

    Parameters
    ----------
    job : Job or path
        Of `structural`.
    out : path
        Folder for ``*.cif`` and ``models.json``, made if need be.
    latents : sequence of array_like, shape (K,)
        Where in latent space.
    particles : iterable of int
        Rows of ``particles.parquet`` (from 0) at whose latents models are wanted.
    cluster_centres : bool
        Whether to write models at the cluster centres of `landscape`.
    states : bool
        Whether to write models at the states of `states`.
    directions : iterable of int
        Principal directions of the latents, from 1, along which models are wanted, between the
        5th and the 95th percentile of the particles.
    path : bool
        Whether to join the latents and particles, in this order, by a path of straight pieces.
    points : int
        Models along each direction, and along the path.
    files : str
        ``ensembles``: one file with models 1, 2, … for each direction, for the path, for all
        clusters, states, latents and particles; ``single``: a file for each model.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    CryoswayError
        When the job has no atomic model, what is asked for does not fit it, or nothing is.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.write_models("job5", "models", directions=(1, 2))  # doctest: +SKIP
    [PosixPath('models/direction1.cif'), PosixPath('models/direction2.cif')]
    """
    opened, folder = open_job(job).main, Path(out)
    ensemble = BeadEnsemble(opened)
    chosen = [*_at_latents(opened, latents), *_at_particles(opened, particles)]
    wanted = [_join(opened, chosen, points)] if path else _group(chosen)
    if cluster_centres:
        wanted.append(Series("clusters", "cluster", _at(read_cluster_centres(opened), "cluster")))
    if states:
        wanted.append(Series("states", "state", _at(read_state_centres(opened), "state")))
    wanted += [along_direction(opened, number, points) for number in directions]
    if not wanted:
        msg = (
            "nothing was asked for: give --latents, --latents-file, --particles, "
            "--cluster-centres, --states or --directions"
        )
        raise CryoswayError(msg)
    return write_series(ensemble, folder, wanted, single=files == "single")


@final
@dataclass(frozen=True, eq=False)
class State:
    """A model that is wanted: its name as a file, where in latent space (K,), and what it is."""

    name: str
    z: FloatArray
    about: dict[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, eq=False)
class Series:
    """Models that go into one file.

    `kind` is latent, particle, cluster, state, direction or path.
    """

    name: str
    kind: str
    states: list[State]


def write_series(
    ensemble: BeadEnsemble, folder: Path, wanted: Sequence[Series], *, single: bool = False
) -> list[Path]:
    """Write models and their index, ``models.json``; what the folder lists already stays there."""
    index = folder / MODELS_NAME
    entries = list(read_json(index)["models"]) if index.exists() else []
    if single:
        wanted = [Series(one.name, all_.kind, [one]) for all_ in wanted for one in all_.states]
    made = []
    total = sum(len(series.states) for series in wanted)
    with explain_os_errors(folder), Progress(total, "models") as progress:
        folder.mkdir(parents=True, exist_ok=True)
        for series in wanted:
            made.append(folder / f"{series.name}.cif")
            tables = []
            for state in series.states:
                tables.append(ensemble.atoms(state.z, state.about.get("particle")))
                progress.advance()
            write_structure(made[-1], tables)
            entry = _describe(series, made[-1].name)
            entries = [*(old for old in entries if old["file"] != entry["file"]), entry]
            write_json(index, {"models": entries})
    return made


def write_directions(folder: Path, most: int = 2) -> None:
    """Write the models of a job along its first principal directions, to ``models/`` in it.

    Parameters
    ----------
    folder
        Of a structural job whose model, particles and maps are written.
    most
        Directions, where there are as many latents.
    """
    job = open_job(folder)
    count = min(most, job.latents.shape[1])
    walks = [along_direction(job, number, POINTS) for number in range(1, count + 1)]
    write_series(BeadEnsemble(job), folder / "models", walks)


def _describe(series: Series, name: str) -> dict[str, Any]:
    states = [
        {"model": number, "label": state.name.replace("_", " "), "z": state.z, **state.about}
        for number, state in enumerate(series.states, start=1)
    ]
    return {"file": name, "kind": series.kind, "states": states}


def along_direction(job: Job, number: int, points: int) -> Series:
    """Walk along a principal direction, as `landscape` does."""
    _require_points(points)
    count = job.latents.shape[1]
    if not 1 <= number <= count:
        msg = f"there is no direction {number}; {job.path} has {count} latent dimensions: 1"
        raise CryoswayError(msg if count == 1 else f"{msg} to {count}")
    axes = fit_principal_axes(job.latents, job.latent_sd)
    walk = trace_direction(axes.project(job.latents), number, points)
    states = [
        State(f"direction{number}_{point:02d}", z, {"position": float(position)})
        for point, (position, z) in enumerate(
            zip(walk.positions, axes.lift(walk.coordinates), strict=True), start=1
        )
    ]
    return Series(f"direction{number}", "direction", states)


def _at_latents(job: Job, latents: Sequence[npt.ArrayLike]) -> Iterator[State]:
    wanted = job.latents.shape[1]
    for number, latent in enumerate(latents, start=1):
        z = np.atleast_1d(np.asarray(latent, np.float64))
        if z.shape != (wanted,) or not np.isfinite(z).all():
            msg = f"latent {number} is {z.tolist()}: {job.path} wants {wanted} finite numbers"
            raise CryoswayError(msg)
        yield State(f"latent_{number:03d}", z)


def _at_particles(job: Job, particles: Iterable[int]) -> Iterator[State]:
    count = len(job.latents)
    for row in particles:
        if not 0 <= row < count:
            msg = f"{job.path} has no particle {row}: rows go from 0 to {count - 1}"
            raise CryoswayError(msg)
        yield State(f"particle_{row:06d}", job.latents[row], {"particle": row})


def _at(centres: Mapping[int, npt.NDArray[np.floating]], kind: str) -> list[State]:
    return [
        State(f"{kind}_{number:02d}", np.asarray(z, np.float64), {kind: number})
        for number, z in centres.items()
    ]


def _group(states: Sequence[State]) -> list[Series]:
    groups = {"latents": "latent", "particles": "particle"}
    made = [
        Series(name, kind, [state for state in states if state.name.startswith(kind)])
        for name, kind in groups.items()
    ]
    return [series for series in made if series.states]


def _join(job: Job, stops: Sequence[State], points: int) -> Series:
    """Walk through latents on straight lines, in even steps of posterior standard deviations."""
    _require_points(points)
    if len(stops) < 2:
        msg = "a path needs two points at least: give --latents, --latents-file or --particles"
        raise CryoswayError(msg)
    axes = fit_principal_axes(job.latents, job.latent_sd)
    corners = axes.project(np.stack([stop.z for stop in stops]))
    length = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(length)])
    walked = np.linspace(0.0, at[-1], points)
    line = np.stack([np.interp(walked, at, column) for column in corners.T], axis=1)
    states = [
        State(f"path_{number:02d}", z, {"position": float(position)})
        for number, (position, z) in enumerate(zip(walked, axes.lift(line), strict=True), start=1)
    ]
    return Series("path", "path", states)


def _require_points(points: int) -> None:
    if points < 2:
        raise CryoswayError(f"points is {points}, but a path needs 2 models at least")
