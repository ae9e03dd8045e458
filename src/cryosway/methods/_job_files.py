"""Files that several methods write alike: maps with their index, curves, the particle table.

The format is that of docs/format.md; what reads it are `cryosway.jobs` and the report.
"""

from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.engine import JobFolder, TrainingResult, read_json, write_json
from cryosway.optics import matrix_to_relion_euler
from cryosway.particles import Particles, write_map
from cryosway.validate import fsc_resolution

FloatArray = npt.NDArray[np.float64]

PARTICLES_NAME = "particles.star"


@final
class VolumeIndex:
    """The maps of a job: files in ``volumes/`` and their entries in ``volumes.json``.

    The index is written after each map, so that it never names a file that is not there; a map
    of the same name replaces the earlier one.

    Parameters
    ----------
    folder : Path
        The job's folder.
    pixel_size : float
        Å per voxel, of all maps.

    Examples
    --------
    >>> index = VolumeIndex(job.path, 3.0)  # doctest: +SKIP
    >>> index.write("mean", density, "mean", "consensus", resolution=7.3)  # doctest: +SKIP
    """

    def __init__(self, folder: Path, pixel_size: float) -> None:
        self.folder = folder / "volumes"
        self.pixel_size = pixel_size
        self._path = self.folder / "volumes.json"
        self.folder.mkdir(exist_ok=True)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries so far."""
        return list(read_json(self._path)["volumes"]) if self._path.exists() else []

    def write(
        self,
        name: str,
        density: npt.ArrayLike,
        kind: str,
        label: str,
        *,
        resolution: float | None = None,
        n_effective: float | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Write a map and its entry.

        Parameters
        ----------
        name : str
            File name without ``.mrc``.
        density : array_like
            Shape (D, D, D), axes (z, y, x).
        kind : str
            mean, unmasked, half, component, cluster, path, state, volume_cluster, mask or
            local_resolution.
        label : str
            What a reader calls it.
        resolution : float, optional
            Å.
        n_effective : float, optional
            Particles that made it.
        **more
            Further fields, as ``z`` (the latent) and ``half_maps`` (names of files).

        Returns
        -------
        dict
            The entry.
        """
        entry = {
            "file": f"{name}.mrc",
            "kind": kind,
            "label": label,
            "z": None,
            "resolution_angstrom": resolution,
            "n_effective": n_effective,
            "half_maps": None,
            **more,
        }
        write_map(self.folder / f"{name}.mrc", np.asarray(density), self.pixel_size)
        kept = [old for old in self.entries if old["file"] != entry["file"]]
        write_json(self._path, {"volumes": [*kept, entry]})
        return entry

    def write_half_maps(
        self, name: str, halves: tuple[npt.ArrayLike, npt.ArrayLike], label: str
    ) -> list[str]:
        """Write two half-maps as ``{name}half1.mrc`` and ``{name}half2.mrc``; give their names."""
        files = []
        for number, half in enumerate(halves, start=1):
            made = self.write(f"{name}half{number}", half, "half", f"{label}, half {number}")
            files.append(str(made["file"]))
        return files


def write_curves(job: JobFolder, **curves: Any) -> None:
    """Write curves.json, or replace the parts that are given: ``fsc``, ``noise``, ``spectrum``."""
    path = job.path / "curves.json"
    earlier = read_json(path) if path.exists() else {}
    write_json(path, {**earlier, **curves})


def fsc_entry(label: str, volume: str, curve: FloatArray, pixel_size: float) -> dict[str, Any]:
    """Give an ``fsc`` entry of curves.json: what it is of, and of which file.

    Parameters
    ----------
    curve
        Shape (D // 2,).
    pixel_size
        Å per voxel of the map.
    """
    return {
        "label": label,
        "volume": volume,
        "frequency_per_angstrom": np.arange(len(curve)) / (2 * len(curve) * pixel_size),
        "value": np.round(curve, 5),
        "resolution_angstrom": fsc_resolution(curve, pixel_size),
    }


def training_entry(result: TrainingResult) -> dict[str, Any]:
    """Give the ``training`` entry of job.json."""
    return {
        "steps": result.steps,
        "precision": result.precision,
        "particles_per_s": result.items_per_s,
        **result.losses,
    }


def particles_table(
    particles: Particles,
    half: npt.ArrayLike | None = None,
    *,
    index: npt.NDArray[np.int64] | None = None,
    latents: FloatArray | None = None,
    latent_sd: FloatArray | None = None,
    **columns: npt.ArrayLike,
) -> pd.DataFrame:
    """Make particles.parquet: one row per particle, in the order of the input.

    Parameters
    ----------
    particles : Particles
        The particles that were used.
    half : array_like, optional
        Half-set of each, 1 or 2.
    index : array, optional
        Row of each in the input; 0 … N−1 by default.
    latents, latent_sd : array, shape (N, K), optional
        Become columns z1 …, z1_sd ….
    **columns
        Further columns, as ``contrast`` and ``log_likelihood``.

    Returns
    -------
    pandas.DataFrame
    """
    source = particles.source
    table: dict[str, Any] = {
        "index": np.arange(len(particles)) if index is None else index,
        "image_name": source["image_name"].to_numpy(),
    }
    if "uid" in source:
        table["uid"] = source["uid"].to_numpy()
    if particles.has_poses:
        table |= dict(zip(("rot", "tilt", "psi"), _euler(particles), strict=True))
        table |= {"shift_x": particles.shifts[:, 0], "shift_y": particles.shifts[:, 1]}
    table |= {str(name): column.to_numpy() for name, column in particles.ctf.items()}
    if half is not None:
        table["half"] = np.asarray(half, np.int8)
    table |= {name: np.asarray(column) for name, column in columns.items()}
    for values, ending in ((latents, ""), (latent_sd, "_sd")):
        if values is not None:
            table |= {f"z{k}{ending}": column for k, column in enumerate(values.T, start=1)}
    return pd.DataFrame(table)


def _euler(particles: Particles) -> tuple[FloatArray, FloatArray, FloatArray]:
    return matrix_to_relion_euler(particles.rotations)
