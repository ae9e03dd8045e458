"""Densities at chosen latents, as MRC files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosway._errors import CryoswayError
from cryosway.engine import Progress, explain_os_errors, write_json
from cryosway.jobs._job import Job, open_job
from cryosway.jobs._map_finish import MapFinish
from cryosway.particles import write_map

if TYPE_CHECKING:
    import numpy.typing as npt


def write_volumes(
    job: Job | str | Path,
    out: str | Path,
    *,
    latents: "Sequence[npt.ArrayLike]" = (),
    particles: Iterable[int] = (),
    half_maps: bool = False,
    finish: MapFinish | None = None,
) -> list[Path]:
    """Write the densities of a job at chosen latents.

    Parameters
    ----------
    job : Job or path
        The job.
    out : path
        Folder for ``*.mrc`` and ``volumes.json``, made if need be.
    latents : sequence of array_like, shape (K,)
        Where in latent space.
    particles : iterable of int
        Rows of ``particles.parquet`` (from 0) at whose latents densities are wanted, too.
    half_maps : bool
        Whether to write the half-maps beside each map.
    finish : MapFinish, optional
        Sampling, filter, crop, hand and sign of what is written.

    Returns
    -------
    list of Path
        The maps, in the order asked for.

    Raises
    ------
    CryoswayError
        When a latent or row does not fit the job, or nothing is asked for.

    Examples
    --------
    >>> write_volumes("job2", "maps", particles=[0, 17])  # doctest: +SKIP
    """
    job, folder = open_job(job), Path(out)
    wanted = [(f"latent_{n:03d}", np.asarray(z, float)) for n, z in enumerate(latents, start=1)]
    wanted += [(f"particle_{row:06d}", _latent_of(job, row)) for row in particles]
    if not wanted:
        message = "nothing was asked for: give --latents, --latents-file or --particles"
        raise CryoswayError(message)
    finish = finish or MapFinish()
    finish.check(job.box, job.pixel_size)
    entries = []
    with explain_os_errors(folder), Progress(len(wanted), "volumes") as progress:
        folder.mkdir(parents=True, exist_ok=True)
        for name, latent in wanted:
            entries.append(_write_one(job, folder, name, latent, finish, half_maps=half_maps))
            progress.advance()
        write_json(folder / "volumes.json", {"volumes": entries})
    return [folder / entry["file"] for entry in entries]


def _latent_of(job: Job, row: int) -> "npt.NDArray[np.float64]":
    if not 0 <= row < len(job.particles):
        message = f"{job.path} has no particle {row}: rows go from 0 to {len(job.particles) - 1}"
        raise CryoswayError(message)
    latent: npt.NDArray[np.float64] = job.latents[row]
    return latent


def _write_one(
    job: Job,
    folder: Path,
    name: str,
    latent: "npt.NDArray[np.float64]",
    finish: MapFinish,
    *,
    half_maps: bool,
) -> dict[str, Any]:
    z = latent if job.latents.shape[1] else None
    pixel_size = finish.pixel_size(job.box, job.pixel_size)
    origin = finish.origin(job.box, job.pixel_size)

    def write(file: str, density: "npt.NDArray[np.float32]") -> None:
        write_map(folder / file, finish.apply(density, job.pixel_size), pixel_size, origin)

    write(f"{name}.mrc", job.volume(z))
    halves = [f"{name}_half{number}.mrc" for number in (1, 2)] if half_maps else None
    if halves:
        for half_name, half in zip(halves, job.half_maps(z), strict=True):
            write(half_name, half)
    return {
        "file": f"{name}.mrc",
        "kind": "state",
        "label": name.replace("_", " "),
        "z": latent,
        "resolution_angstrom": None,
        "n_effective": None,
        "half_maps": halves,
    }
