"""`export`: a job's particles, a selection of them, or its maps, as files of another program."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import explain_os_errors
from cryosway.jobs import Job, open_job
from cryosway.methods._cryodrgn.export import write_cryodrgn
from cryosway.methods._export.chimerax import write_chimerax
from cryosway.methods._export.originals import read_original
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.methods._motions.intervals import find_inside
from cryosway.methods._options import ExportOptions
from cryosway.particles import Particles, load_arrays, read_particles

Rows = npt.NDArray[np.int64]


def export(job: Job | str | Path, out: str | Path, **options: Any) -> Path:
    """Write a job's particles, a selection of them, or its maps, as files of another program.

    For RELION a STAR file, for cryoSPARC a ``.cs`` file. For cryoDRGN a STAR file with
    ``poses.pkl``, ``ctf.pkl``, the latents ``z.pkl`` (means, then log variances), ``ind.pkl``
    (rows in the input) and ``commands.txt``; also ``config.yaml`` and ``weights.pkl``, which
    ``cryodrgn analyze`` and ``eval_vol`` read, where the decoder is one that cryoDRGN can hold.
    Images stay where they are. RELION and cryoSPARC get every column of the file that the job was
    made from, in the poses of the job. For ChimeraX, ``session.cxc`` with copies of the job's
    maps: those of clusters, and those along each direction as a series; of jobs with atomic models
    these, as a morph.

    Parameters
    ----------
    job : Job or path
        With particles; for ChimeraX, with volumes.
    out : path
        Folder for the files, made if need be.
    **options
        See `ExportOptions`: to (cryodrgn, relion, cryosparc or chimerax), clusters, interval,
        rows, particles, images_dir.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CryoswayError
        The job has no particles (or volumes), the selection is empty or does not fit, or files
        cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.export("sway", "for_relion", to="relion", clusters=(2,))  # doctest: +SKIP
    PosixPath('for_relion')
    >>> wide = ("distance1", 30.0, 40.0)  # of a motions job, Å
    >>> cs.export("moves", "opened", to="relion", interval=(wide,))  # doctest: +SKIP
    PosixPath('opened')
    """
    settings = ExportOptions.check("export", options)
    opened, folder = open_job(job), Path(out)
    chosen = None if settings.to == "chimerax" else Selection.of(opened, settings)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if chosen is None:
            write_chimerax(folder, opened, settings)
        elif settings.to == "cryodrgn":
            write_cryodrgn(folder, chosen.job, chosen.particles, chosen.rows)
        else:
            chosen.write(folder, settings.to, given=settings.particles is not None)
    return folder


@final
@dataclass(frozen=True, eq=False)
class Selection:
    """Particles chosen from a job.

    Attributes
    ----------
    job : Job
        The job that holds them.
    particles : Particles
        The chosen ones.
    rows : numpy.ndarray
        Shape (n,): their rows in ``particles.parquet``.
    """

    job: Job
    particles: Particles
    rows: Rows

    @classmethod
    def of(cls, job: Job, options: ExportOptions) -> "Selection":
        """Choose particles as the options say."""
        rows = _choose_rows(job.main, options)
        return cls.at(job.main, rows, options.particles, options.images_dir)

    @classmethod
    def at(
        cls, main: Job, rows: Rows, source: Path | None = None, images_dir: Path | None = None
    ) -> "Selection":
        """Choose particles by their rows, from the job's own particles or from another file."""
        if source is None:
            path = main.path / PARTICLES_NAME
            if not path.exists():
                message = (
                    f"{main.path} does not hold its particle set; give the file that the job was "
                    "made from with --particles"
                )
                raise CryoswayError(message)
            particles, wanted = _read(path, images_dir), rows
        else:
            particles = _read(source, images_dir)
            wanted = _find_in_file(particles, main.particles.iloc[rows])
        if len(wanted) and wanted.max() >= len(particles):
            message = (
                f"the particle file has {len(particles)} rows, but the job needs row "
                f"{wanted.max()} (from 0); give the file that the job was made from"
            )
            raise CryoswayError(message)
        return cls(main, particles[wanted], rows)

    def write(self, folder: Path, to: str, *, given: bool) -> None:
        """Write the particles for RELION or cryoSPARC, with every column of the user's own file.

        Parameters
        ----------
        folder
            Gets ``particles.star`` or ``particles.cs``.
        to
            relion or cryosparc.
        given
            Whether they were read from a file that the user named, and not from the job.
        """
        particles = self.particles
        if not given and (original := read_original(self.job, to)) is not None:
            particles = original[self.rows]
        name = "particles.star" if to == "relion" else "particles.cs"
        particles.write(folder / name, absolute_paths=None)


def _read(path: Path, images_dir: Path | None) -> Particles:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryoswayWarning)  # the job's own run has shown them
        return read_particles(path, images_dir, accept_defaults=True)


def _find_in_file(particles: Particles, table: pd.DataFrame) -> Rows:
    """Give the rows of a file that hold a job's particles: by cryoSPARC's uid, if both know it."""
    source = particles.source
    if "uid" not in table or "uid" not in source or not source["uid"].is_unique:
        return table["index"].to_numpy(np.int64)
    found = pd.Index(source["uid"]).get_indexer(table["uid"])
    if (found < 0).any():
        message = (
            f"the particle file lacks {int((found < 0).sum())} of the {len(table)} particles (the "
            f"first is uid {table['uid'].to_numpy()[found < 0][0]}); give the file that the job "
            "was made from"
        )
        raise CryoswayError(message)
    return found.astype(np.int64)


def _choose_rows(job: Job, options: ExportOptions) -> Rows:
    table = job.particles
    keep = np.ones(len(table), bool)
    if options.clusters:
        if "cluster" not in table:
            message = f"{job.path} has no clusters; run cryosway landscape {job.path} first"
            raise CryoswayError(message)
        there = sorted(set(table["cluster"].tolist()))
        for cluster in options.clusters:
            if cluster not in there:
                message = f"there is no cluster {cluster}; there are {', '.join(map(str, there))}"
                raise CryoswayError(message)
        keep &= table["cluster"].isin(options.clusters).to_numpy()
    keep &= find_inside(table, options.interval)
    if options.rows is not None:
        listed = np.zeros(len(table), bool)
        listed[read_rows(options.rows, len(table))] = True
        keep &= listed
    if not keep.any():
        message = "no particle is in this selection; choose other clusters, intervals or rows"
        raise CryoswayError(message)
    return np.flatnonzero(keep)


def read_rows(path: Path, count: int) -> Rows:
    """Read row numbers from a file of numpy, text or cryoDRGN."""
    try:
        if path.suffix == ".npy":
            rows = np.load(path, allow_pickle=False)
        elif path.suffix == ".pkl":
            rows = np.asarray(load_arrays(path))
        else:
            rows = np.array(path.read_text(encoding="utf-8").split(), np.int64)
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as row numbers ({error}); give .npy, .txt or .pkl"
        raise CryoswayError(message) from None
    rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows
    outside = rows.size and (rows.min() < 0 or rows.max() >= count)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or outside:
        message = f"{path} does not hold row numbers from 0 to {count - 1}; is it of another job?"
        raise CryoswayError(message)
    return rows.astype(np.int64)
