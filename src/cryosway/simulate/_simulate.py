"""Simulate a data set: states → projections → CTF → noise → files, streaming."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosway.engine import JobFolder, read_table
from cryosway.particles import StackWriter
from cryosway.simulate._files import write_particles, write_truth_volumes
from cryosway.simulate._form_images import ImageFormer
from cryosway.simulate._metadata import ParticleTables, draw_particles
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._states import Source, States, load_states

_BLOCKS_PER_CHECKPOINT = 64


@dataclass(frozen=True)
class SimulatedSet:
    """The files of a simulation."""

    path: Path

    @property
    def particles(self) -> Path:
        """The RELION 3.1 STAR file, with the metadata errors that were asked for."""
        return self.path / "particles.star"

    @property
    def stack(self) -> Path:
        """The images."""
        return self.path / "particles.mrcs"

    @property
    def volumes(self) -> list[Path]:
        """The density of every state, on the scale of the images."""
        return sorted((self.path / "volumes").glob("state_*.mrc"))

    def truth(self) -> pd.DataFrame:
        """Read truth.parquet: state, pose, shift, optics, contrast and label of every particle."""
        return read_table(self.path / "truth.parquet")


def simulate(
    structures: Source | Sequence[Source],
    out: str | PathLike[str],
    *,
    n: int = 10_000,
    box: int = 64,
    pixel_size: float = 3.0,
    snr: float | None = 0.1,
    populations: Sequence[float] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    **settings: Any,
) -> SimulatedSet:
    """Simulate particle images of given conformations, with the truth beside them.

    X(k) = g · CTF(k) · exp(−B k²/4) · exp(−2πi k·t) · V̂_state(Rᵀ[k, 0]) + noise(k). The gain g
    is such that the noise has variance 1 and the clean images the variance `snr` (pooled over
    the whole box, CryoBench's definition); the truth volumes carry the same gain.

    Parameters
    ----------
    structures
        One or several mmCIF or PDB files, maps (``.mrc``), atoms, or a DCD trajectory with
        ``topology=``; each structure, map or chosen frame is a state.
    out
        Folder for ``particles.star``, ``particles.mrcs``, ``truth.parquet`` and ``volumes/``.
    n
        Number of particles.
    box, pixel_size
        Pixels, even; Å per pixel.
    snr
        Variance of the clean images over that of the noise; None for no noise.
    populations
        Share of each state; equal where None.
    seed
        Every random number follows from it, whatever the threads.
    overwrite
        Replace another simulation that is in the folder.
    settings
        Fields of `SimulateOptions`.

    Returns
    -------
    The paths, and the truth on demand.

    Raises
    ------
    CryoswayError
        If an option or a file is wrong, or the molecule does not fit into the box.
    """
    given = {"populations": populations} if populations is not None else {}
    options = SimulateOptions.check(
        {
            "n": n,
            "box": box,
            "pixel_size": pixel_size,
            "snr": snr,
            "seed": seed,
            **given,
            **settings,
        }
    )
    states = load_states(structures, options)
    tables = draw_particles(options, len(states))
    inputs = {"states": states.fingerprint()}
    with JobFolder.start(Path(out), "simulate", options, inputs, overwrite=overwrite) as job:
        if not job.already_finished:
            _fill_folder(job, states, tables, options)
    return SimulatedSet(Path(out))


def _fill_folder(
    job: JobFolder, states: States, tables: ParticleTables, options: SimulateOptions
) -> None:
    former = ImageFormer(states, tables.truth, options)
    with job.stage("signal level"):
        gain = former.find_gain()
    with job.stage("truth volumes"):
        write_truth_volumes(job.path, states, options, gain, tables.truth)
    with job.stage("images"):
        _write_stack(job, former, options, gain)
    write_particles(job.path, tables, options)


def _write_stack(
    job: JobFolder, former: ImageFormer, options: SimulateOptions, gain: float
) -> None:
    """Stream the images to disk; an interrupted run goes on after its last checkpoint."""
    found = job.load_checkpoint("stack")
    start = int(found[1]["written"]) if found else 0
    path = job.path / "particles.mrcs"
    writer = StackWriter(
        path, options.box, options.pixel_size, options.dtype, options.n, start=start
    )
    progress = job.progress(options.n, "images", done=start)
    with writer, progress:
        for number, rows in enumerate(former.blocks(np.arange(start, options.n)), start=1):
            writer.write(former.form_images(rows, gain))
            progress.advance(len(rows))
            if number % _BLOCKS_PER_CHECKPOINT == 0:
                writer.flush()
                job.save_checkpoint("stack", {}, {"written": writer.written})
    job.delete_checkpoint("stack")
