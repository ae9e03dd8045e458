"""The Job: a finished (or unfinished) job folder, read when asked."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import is_locked, read_job_info, read_json, read_table
from cryosway.jobs._decoder import Decoder, MissingResultError, Volume, open_decoder
from cryosway.particles import read_map

if TYPE_CHECKING:
    import gemmi
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


def open_job(path: "str | Path | Job") -> "Job":
    """Open a job folder.

    Parameters
    ----------
    path : str, Path or Job
        A folder that a command made with ``--out``; an opened job is given back as it is.

    Returns
    -------
    Job
        Reads its files when asked.

    Raises
    ------
    CryoswayError
        When the folder is not a job, is damaged, or comes from a newer release.

    Examples
    --------
    >>> job = open_job("job2")  # doctest: +SKIP
    >>> job.volume(job.latents[0]).shape  # doctest: +SKIP
    (64, 64, 64)
    """
    return path if isinstance(path, Job) else Job(Path(path))


@final
class Job:
    """What a command has made.

    A job of ``run`` answers for its main step.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    path : Path
        The folder.
    info : dict
        The values of job.json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info: dict[str, Any] = read_job_info(path)

    def __repr__(self) -> str:
        return f"Job({str(self.path)!r}, {self.info.get('command')}, {self.status})"

    @property
    def status(self) -> str:
        """running, finished, interrupted or failed.

        A job whose process was killed says "running" in job.json for ever; here it says
        "interrupted".
        """
        status = str(self.info.get("status"))
        return "interrupted" if status == "running" and not is_locked(self.path) else status

    @cached_property
    def main(self) -> "Job":
        """The job that holds particles and volumes: a step of a ``run``, else the job itself."""
        main = self.info.get("main")
        return Job(self.path / self.info.get("stages", {}).get(main, main)) if main else self

    # -- particles -----------------------------------------------------------------------------

    @cached_property
    def particles(self) -> "pd.DataFrame":
        """One row per particle: pose, shift (Å), CTF, half-set, latents; see docs/format.md."""
        path = self.main.path / "particles.parquet"
        if not path.exists():
            message = f"{self.path} holds no particles.parquet; {self._explain_absence()}"
            raise MissingResultError(message)
        return read_table(path)

    @cached_property
    def latents(self) -> FloatArray:
        """Posterior means, shape (N, K); K is 0 where the method has no latents."""
        names = self._latent_columns
        shape = (len(self.particles), len(names))
        return self.particles[names].to_numpy(dtype=np.float64).reshape(shape)

    @cached_property
    def latent_sd(self) -> FloatArray | None:
        """Posterior standard deviations, shape (N, K), or None where the method has none."""
        names = [f"{name}_sd" for name in self._latent_columns]
        if not names or not set(names) <= set(self.particles.columns):
            return None
        return self.particles[names].to_numpy(dtype=np.float64)

    @property
    def _latent_columns(self) -> list[str]:
        columns = self.particles.columns
        names = [name for name in columns if name.startswith("z") and name[1:].isdigit()]
        return sorted(names, key=lambda name: int(name[1:]))

    # -- volumes -------------------------------------------------------------------------------

    @cached_property
    def volumes(self) -> list[dict[str, Any]]:
        """The entries of volumes/volumes.json: file, kind, label, z, resolution and half-maps."""
        index = self.main.path / "volumes" / "volumes.json"
        return list(read_json(index)["volumes"]) if index.exists() else []

    @cached_property
    def pixel_size(self) -> float:
        """Å per pixel of the volumes."""
        if "pixel_size" in self.main.info:
            return float(self.main.info["pixel_size"])
        return float(read_map(self._first_volume)[1].pixel_size)

    @cached_property
    def box(self) -> int:
        """Pixels along each side of the volumes."""
        if "box" in self.main.info:
            return int(self.main.info["box"])
        return int(read_map(self._first_volume)[0].shape[0])

    @property
    def _first_volume(self) -> Path:
        if not self.volumes:
            message = f"{self.path} holds no volumes; {self._explain_absence()}"
            raise MissingResultError(message)
        return self.main.path / "volumes" / str(self.volumes[0]["file"])

    def volume(self, z: npt.ArrayLike | None = None) -> Volume:
        """Give the density at a latent.

        Parameters
        ----------
        z : array_like, shape (K,), optional
            The latent; left out for a job without latents.

        Returns
        -------
        ndarray
            Shape (D, D, D), float32, axes (z, y, x), `pixel_size` Å per voxel.

        Raises
        ------
        CryoswayError
            When z does not fit the job, or the job has no volumes.
        """
        return cast("Volume", self._ask("volume", z))

    def half_maps(self, z: npt.ArrayLike | None = None) -> tuple[Volume, Volume]:
        """Give the two half-maps at a latent, from independent halves of the particles.

        Parameters
        ----------
        z : array_like, shape (K,), optional
            The latent; left out for a job without latents.

        Returns
        -------
        tuple of ndarray
            Two volumes as from `volume`.

        Raises
        ------
        CryoswayError
            As `volume`; also when the method makes no half-maps.
        """
        return cast("tuple[Volume, Volume]", self._ask("half_maps", z))

    def fsc(self, z: npt.ArrayLike | None = None) -> FloatArray:
        """Give the FSC of the half-maps at a latent.

        Parameters
        ----------
        z : array_like, shape (K,), optional
            The latent; left out for a job without latents.

        Returns
        -------
        ndarray
            Shape (D // 2,), float64; shell i is {i−1 ≤ |k| < i}.

        Raises
        ------
        CryoswayError
            As `volume`; also when the method makes no half-maps.
        """
        return cast("FloatArray", self._ask("fsc", z))

    def n_effective(self, z: npt.ArrayLike | None = None) -> float:
        """Give the effective number of particles behind the density at a latent.

        Parameters
        ----------
        z : array_like, shape (K,), optional
            The latent; left out for a job without latents.

        Returns
        -------
        float
            (Σw)² / Σw² of the particles' weights.

        Raises
        ------
        CryoswayError
            As `volume`; also when the method does not average particles.
        """
        return float(self._ask("n_effective", z))

    def model(self, z: npt.ArrayLike | None = None) -> "gemmi.Structure":
        """Give the atomic model at a latent, of a job that has one.

        Parameters
        ----------
        z : array_like, shape (K,), optional
            The latent.

        Returns
        -------
        gemmi.Structure
            The model.

        Raises
        ------
        CryoswayError
            As `volume`; also when the method makes no models.
        """
        return cast("gemmi.Structure", self._ask("model", z))

    @cached_property
    def _decoder(self) -> Decoder:
        return cast("Decoder", open_decoder(self))

    def _ask(self, what: str, z: npt.ArrayLike | None) -> Any:
        if self.main is not self:
            return getattr(self.main, what)(z)
        answer = getattr(self._decoder, what, None)
        if answer is None:
            command, plain = self.info.get("command"), what.replace("_", "-")
            message = f"{self.path} is a {command} job, which makes no {plain}"
            raise MissingResultError(message)
        return answer(self._check_latent(z))

    def _check_latent(self, z: npt.ArrayLike | None) -> FloatArray | None:
        wanted = self.latents.shape[1] if (self.path / "particles.parquet").exists() else 0
        if z is None and wanted:
            message = f"{self.path} has {wanted} latent dimensions: say where, as job.latents[0]"
            raise CryoswayError(message)
        if z is None:
            return None
        latent = np.asarray(z, dtype=np.float64)
        if latent.shape not in {(wanted,), ()} or (latent.shape == () and wanted != 1):
            message = (
                f"z has shape {latent.shape}, but the latents of {self.path} have {wanted} "
                f"dimensions: give {wanted} numbers"
            )
            raise CryoswayError(message)
        if not np.isfinite(latent).all():
            message = f"z holds numbers that are not finite: {latent.tolist()}"
            raise CryoswayError(message)
        return latent.reshape(-1)

    def _explain_absence(self) -> str:
        """Say why a result is not there."""
        status = self.status
        if status == "finished":
            return f"a {self.info.get('command')} job makes none"
        if status == "running":
            return "it is still running"
        return f"it is {status}: give its command again, it resumes"
