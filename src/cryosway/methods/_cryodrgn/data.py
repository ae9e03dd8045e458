"""The particles of a cryoDRGN training: images, poses and CTF, as far as they are found."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.methods._cryodrgn.folder import TrainingFolder
from cryosway.methods._job_files import particles_table
from cryosway.optics import matrix_to_relion_euler
from cryosway.particles import (
    Particles,
    load_arrays,
    read_cryodrgn_ctf,
    read_cryodrgn_poses,
    read_particles,
)

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DataPaths:
    """Files that the user names in place of those of the settings.

    Attributes
    ----------
    particles, poses, ctf : Path or None
        The files.
    images_dir : Path or None
        Where the stacks are.
    """

    particles: Path | None = None
    poses: Path | None = None
    ctf: Path | None = None
    images_dir: Path | None = None


@final
@dataclass(frozen=True, eq=False)
class CryodrgnData:
    """The particles of a training.

    Attributes
    ----------
    particles : Particles or None
        With images; None where these are not found.
    poses : tuple or None
        Rotations (N, 3, 3) and shifts (N, 2) as fractions of the box.
    ctf : numpy.ndarray or None
        cryoDRGN's table, shape (N, 9).
    box : int
        Pixels a side of the images in training.
    pixel_size : float or None
        Å per pixel of the volumes, where known.
    name : str
        What the settings call the images.
    source, reason : str
        What was found, and a sentence about it.
    rows : numpy.ndarray or None
        Shape (N,): which particles of the input these are; None for all.
    """

    particles: Particles | None
    poses: tuple[FloatArray, FloatArray] | None
    ctf: FloatArray | None
    box: int
    pixel_size: float | None
    name: str
    source: str
    reason: str
    rows: Rows | None = None

    @classmethod
    def find(cls, training: TrainingFolder, paths: DataPaths, count: int | None) -> "CryodrgnData":
        """Find the data of a training.

        Parameters
        ----------
        training : TrainingFolder
            Whose data.
        paths : DataPaths
            What the user says of them.
        count : int or None
            Number of particles with a latent.

        Raises
        ------
        CryoswayError
            A file that the user names, or that lies in the folder, is wrong or does not fit.
        """
        finder = _Finder(training, paths, count)
        files = finder.locate()
        if (reason := _find_obstacle(training)) is not None:
            size = finder.find_pixel_size(files.ctf, None)
            found = (None, None, None, training.box, size, finder.name, "latents only", reason)
            return cls(*found, rows=finder.read_rows() if training.is_abinit else None)
        rows = finder.read_rows()
        poses = finder.read_poses(files.poses, rows)
        ctf = finder.read_ctf(files.ctf, rows)
        particles, source, reason = finder.read_images(files, rows)
        if particles is not None and poses is not None and finder.refined is not None:
            edges = particles.box * particles.ctf["pixel_size"].to_numpy()  # Å
            particles = particles.with_poses(poses[0], poses[1] * edges[:, None])
            reason += ", with the poses that it refined"
        size = finder.find_pixel_size(files.ctf, particles)
        return cls(particles, poses, ctf, training.box, size, finder.name, source, reason, rows)

    def make_table(self, count: int | None) -> pd.DataFrame | None:
        """Make particles.parquet without latents.

        Parameters
        ----------
        count : int or None
            Number of particles, where latents tell it.

        Returns
        -------
        pandas.DataFrame or None
            One row per particle; None where nothing is known of them.
        """
        if self.particles is not None:
            return particles_table(self.particles, index=self.rows)
        for part in (self.ctf, *(self.poses or ())):
            count = len(part) if count is None and part is not None else count
        if count is None:
            return None
        index = np.arange(count) if self.rows is None else self.rows
        table: dict[str, Any] = {
            "index": index,
            "image_name": [f"{row + 1:06d}@{self.name}" for row in index.tolist()],
        }
        edge = None
        if self.ctf is not None:
            edge = self.ctf[:, 0] * self.ctf[:, 1]
            table |= dict(zip(_CTF_NAMES, self.ctf.T[2:], strict=True))
            table |= {"pixel_size": edge / self.box, "optics_group": np.ones(count, np.int64)}
        if self.poses is not None:
            angles = matrix_to_relion_euler(self.poses[0])
            table |= dict(zip(("rot", "tilt", "psi"), angles, strict=True))
            if edge is not None:
                table |= dict(zip(("shift_x", "shift_y"), self.poses[1].T * edge, strict=True))
        return pd.DataFrame(table)


def _find_obstacle(training: TrainingFolder) -> str | None:
    """Say why the particles of a training cannot be read, if so."""
    if training.settings.get("encode_mode") == "tilt":
        return "it was trained on tilt series, whose images cryosway does not read"
    if training.is_abinit:
        return "cryodrgn abinit searched for the poses, and cryosway does not read its pose files"
    return None


_CTF_NAMES = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
)


@dataclass(frozen=True)
class _Finder:
    """Looks for the files that the settings name, and where a moved folder may have them."""

    training: TrainingFolder
    paths: DataPaths
    count: int | None

    @property
    def name(self) -> str:
        """What the settings call the particles."""
        return Path(str(self.training.data.get("particles") or "particles.mrcs")).name

    def locate(self) -> DataPaths:
        """Find the files of all particles."""
        given, stated = self.paths, self.training.data
        return DataPaths(
            particles=given.particles or self._find(stated.get("particles")),
            poses=given.poses or self._find(stated.get("poses"), but=self.refined),
            ctf=given.ctf or self._find(stated.get("ctf")),
            images_dir=given.images_dir or self._find(stated.get("datadir")),
        )

    def _find(self, stated: Any, but: Path | None = None) -> Path | None:
        """Find a file of the settings: where they say, in the folder, or beside it."""
        if not isinstance(stated, str) or not stated:
            return None
        path, folder = Path(stated), self.training.path.resolve()
        places = (path, folder / path.name, folder.parent / path.name, folder.parent / path)
        barred = None if but is None else but.resolve()
        found = (place for place in places if place.exists() and place.resolve() != barred)
        return next(found, None)

    def read_rows(self) -> Rows | None:
        """Read which particles were trained on; None for all."""
        stated = self.training.data.get("ind")
        if not stated:
            return None
        path = self._find(stated)
        if path is None:
            message = (
                f"{self.training.path} was trained on a selection ({stated}) that is not there; "
                "copy that file into the folder"
            )
            raise CryoswayError(message)
        rows = np.asarray(load_arrays(path))
        if rows.ndim != 1 or rows.dtype.kind not in "iub":
            message = f"{path} holds no indices of particles; is it another file?"
            raise CryoswayError(message)
        rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows.astype(np.int64)
        if self.count is not None and len(rows) != self.count:
            message = (
                f"{path} selects {len(rows)} particles, but there are latents of {self.count}; "
                "copy the selection of this training"
            )
            raise CryoswayError(message)
        return rows

    @property
    def refined(self) -> Path | None:
        """The poses that cryoDRGN refined, if it did and the user names no others."""
        path = self.training.file("pose")
        wanted = self.training.data.get("do_pose_sgd") and self.paths.poses is None
        return path if wanted and path.exists() else None

    def read_poses(
        self, path: Path | None, rows: Rows | None
    ) -> tuple[FloatArray, FloatArray] | None:
        """Read the poses of the particles that were trained on: the refined ones if any."""
        given = None if path is None else self._read_pose_file(path, rows)
        if self.refined is None:
            return given
        rotations, shifts = self._read_pose_file(self.refined, rows)
        if given is not None and np.abs(shifts).mean() < 0.1 * np.abs(given[1]).mean():
            message = (
                f"the shifts in {self.refined} are far smaller than those at the start, a fault of "
                "cryoDRGN on CPUs; those at the start are taken"
            )
            warnings.warn(message, CryoswayWarning, stacklevel=6)
            shifts = given[1]
        return rotations, shifts

    def _read_pose_file(self, path: Path, rows: Rows | None) -> tuple[FloatArray, FloatArray]:
        rotations, shifts = read_cryodrgn_poses(path)
        if shifts is None:
            shifts = np.zeros((len(rotations), 2))
        return self._select(rotations, rows, path), self._select(shifts, rows, path)

    def read_ctf(self, path: Path | None, rows: Rows | None) -> FloatArray | None:
        """Read the CTF of the particles that were trained on."""
        return None if path is None else self._select(read_cryodrgn_ctf(path), rows, path)

    def _select(self, table: FloatArray, rows: Rows | None, path: Path) -> FloatArray:
        """Take the rows of the training, unless the file holds just these."""
        if rows is not None and len(table) != len(rows):
            if rows.size and rows.max() >= len(table):
                message = (
                    f"{path} has {len(table)} rows, but row {rows.max()} was trained on (from 0)"
                )
                raise CryoswayError(message)
            table = table[rows]
        if self.count is not None and len(table) != self.count:
            message = (
                f"{path} has {len(table)} rows, but there are latents of {self.count} particles; "
                "give the file that it was trained with"
            )
            raise CryoswayError(message)
        return table

    def find_pixel_size(self, ctf: Path | None, particles: Particles | None) -> float | None:
        """Å per pixel, of the first particle as cryoDRGN does."""
        if ctf is not None and len(table := read_cryodrgn_ctf(ctf)):
            return float(table[0, 0] * table[0, 1] / self.training.box)
        if particles is not None and len(particles):
            sizes = particles.ctf["pixel_size"]
            return float(sizes.iloc[0]) * int(particles.box) / self.training.box
        return None

    def read_images(self, files: DataPaths, rows: Rows | None) -> tuple[Particles | None, str, str]:
        """Read the particle set, and say in words what came of it."""
        if files.particles is None:
            stated = self.training.data.get("particles")
            reason = f"{stated} is not there; give --particles (and --poses, --ctf) to have them"
            return None, "latents only", reason
        try:
            particles = self._read(files, rows)
        except CryoswayError as error:
            if self.paths != DataPaths():
                raise
            return None, "latents only", f"{error} (--particles, --poses, --ctf, --images-dir)"
        return particles, str(files.particles), "the images that cryoDRGN was trained on"

    def _read(self, files: DataPaths, rows: Rows | None) -> Particles:
        assert files.particles is not None
        with warnings.catch_warnings():
            if files.ctf is None:  # cryoDRGN was trained without, too
                warnings.simplefilter("ignore")
            particles = read_particles(
                files.particles,
                files.images_dir,
                ctf=files.ctf,
                accept_defaults=files.ctf is None,
                **({} if files.poses is None else {"poses": files.poses}),
            )
        if rows is not None and len(particles) != len(rows):
            particles = particles[rows]
        if self.count is not None and len(particles) != self.count:
            message = (
                f"{files.particles} has {len(particles)} particles, but there are latents of "
                f"{self.count}; give the file that it was trained with"
            )
            raise CryoswayError(message)
        return particles
