"""Sets with a known truth: those of `bench make` and `simulate`, and CryoBench's own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._bench.row_files import read_rows
from cryosway.optics import relion_euler_to_matrix
from cryosway.particles import read_cryodrgn_ctf, read_cryodrgn_poses, read_map
from cryosway.simulate import ASSEMBLY_COUNTS, SimulatedSet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Volume = NDArray[np.float32]

MOST_STATES = 500
NOT_LATENT = ("state", "name", "share", "angle")  # columns of states.csv
_CTF = ("defocus_u", "defocus_v", "defocus_angle")


@final
class MapFiles:
    """Maps read from files when asked for; the last few are kept."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._read = lru_cache(maxsize=8)(lambda path: read_map(path)[0])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int, /) -> Volume:
        """Read a map."""
        return self._read(self.paths[number])

    def __iter__(self) -> Iterator[Volume]:
        """Read one after the other."""
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, eq=False)
class TruthSet:
    """Images whose states are known.

    Attributes
    ----------
    path
        The folder.
    states
        Shape (N,): number of the true state of every image, −1 for junk.
    volumes
        The true map of every state.
    latents
        Shape (N, a): true latent of every image.
    rotations, ctf
        Shapes (N, 9) and (N, b): pose and CTF, standardised where latents are judged.
    pixel_size
        Å per voxel of the true maps.
    mask
        A mask that comes with the set.
    particles, poses, ctf_file
        The images, and what `read_particles` needs besides.
    """

    path: Path
    states: IntArray
    volumes: MapFiles
    latents: FloatArray
    rotations: FloatArray
    ctf: FloatArray
    pixel_size: float
    mask: Path | None = None
    particles: Path | None = None
    poses: Path | None = None
    ctf_file: Path | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def populations(self) -> FloatArray:
        """Shape (S,): share of every state among the images that are no junk."""
        counts = np.bincount(self.states[self.states >= 0], minlength=len(self.volumes))
        return np.asarray(counts / counts.sum())

    def state_latents(self, states: IntArray) -> FloatArray:
        """Give the mean true latent (n, a) of states; NaN where a state has no image."""
        found = np.full((len(states), self.latents.shape[1]), np.nan)
        for place, state in enumerate(states):
            mine = self.states == state
            if mine.any():
                found[place] = self.latents[mine].mean(axis=0)
        return found

    def choose_states(self, rows: IntArray) -> IntArray:
        """Choose the states that maps are compared with: all, or of very many those of some images.

        Every image of a simulated trajectory has a state of its own.
        """
        if len(self.volumes) <= MOST_STATES:
            return np.arange(len(self.volumes))
        return np.unique(self.states[rows])


def read_truth_set(path: str | Path, latents: Path | None = None) -> TruthSet:
    """Open a set whose truth is known.

    Parameters
    ----------
    path
        Folder of `bench make` or `simulate`, or one of CryoBench's (with ``vols`` and
        ``combined_poses.pkl``).
    latents
        True latents in the place of those that the set has: a row per state, or per image.

    Raises
    ------
    CryoswayError
        If the folder is neither, or its files do not fit each other.
    """
    folder = Path(path)
    if (folder / "truth.parquet").exists():
        found = _read_simulated(SimulatedSet(folder))
    elif (folder / "combined_poses.pkl").exists():
        found = _read_cryobench(folder)
    else:
        msg = (
            f"{folder} is no set with a known truth; give a folder of cryosway bench make or "
            "simulate (with truth.parquet), or one of CryoBench's (with combined_poses.pkl)"
        )
        raise CryoswayError(msg)
    if latents is None:
        return found
    rows = np.asarray(read_rows(latents), np.float64)
    rows = rows.reshape(len(rows), -1)
    if len(rows) not in (len(found.volumes), len(found.states)):
        msg = (
            f"{latents} has {len(rows)} rows; the true latents of {folder} are one per state "
            f"({len(found.volumes)}) or one per image ({len(found.states)})"
        )
        raise CryoswayError(msg)
    per_image = rows if len(rows) == len(found.states) else rows[np.maximum(found.states, 0)]
    return replace(found, latents=per_image)


def _read_simulated(made: SimulatedSet) -> TruthSet:
    _require_finished(made.path)
    table = made.truth()
    states = table["state"].to_numpy(np.int64)
    listed = made.path / "states.csv"
    if listed.exists():
        values = pd.read_csv(listed).drop(columns=list(NOT_LATENT), errors="ignore")
        latents = values.to_numpy(np.float64)[states]
    else:
        latents = table[["coordinate"]].to_numpy(np.float64)
    rotations = relion_euler_to_matrix(table["rot"], table["tilt"], table["psi"])
    volumes = made.volumes
    return TruthSet(
        path=made.path,
        states=np.where(table["label"] == "particle", states, -1),
        volumes=MapFiles(volumes),
        latents=latents,
        rotations=rotations.reshape(-1, 9),
        ctf=table[list(_CTF)].to_numpy(np.float64),
        pixel_size=read_map(volumes[0])[1].pixel_size,
        particles=made.particles,
    )


def _require_finished(folder: Path) -> None:
    info = folder / "job.json"
    if info.exists() and read_json(info).get("status") != "finished":
        msg = f"{folder} is not finished; give the command that makes it again"
        raise CryoswayError(msg)


# ---------------------------------------------------------------------------- CryoBench


def _read_cryobench(folder: Path) -> TruthSet:
    rotations = read_cryodrgn_poses(folder / "combined_poses.pkl")[0]
    count = len(rotations)
    ctf = read_cryodrgn_ctf(folder / "combined_ctfs.pkl")
    if len(ctf) != count:
        msg = f"{folder}: combined_ctfs.pkl has {len(ctf)} rows but combined_poses.pkl has {count}"
        raise CryoswayError(msg)
    paths = _find_volumes(folder, int(ctf[0, 0]))
    states, latents = _read_labels(folder, count, len(paths))
    masks = [folder / "init_mask" / name for name in ("mask.mrc", "init_mask.mrc")]
    return TruthSet(
        path=folder,
        states=states,
        volumes=MapFiles(paths),
        latents=latents,
        rotations=rotations.reshape(-1, 9),
        ctf=ctf[:, 2:5],
        pixel_size=read_map(paths[0])[1].pixel_size,
        mask=next((path for path in masks if path.exists()), None),
        particles=_find_images(folder),
        poses=folder / "combined_poses.pkl",
        ctf_file=folder / "combined_ctfs.pkl",
    )


def _find_volumes(folder: Path, box: int) -> list[Path]:
    """Find the true maps, in the order of their numbers; those of the images' size if it is told.

    They lie in ``vols/128_org`` as published, or right in ``vols``.
    """
    places = [folder / "vols" / f"{box}_org", *sorted((folder / "vols").glob("*_org"))]
    for place in [*places, folder / "vols"]:
        if found := sorted(place.glob("*.mrc"), key=number_key):
            return found
    msg = f"{folder} has no true maps; CryoBench keeps them in vols/128_org/*.mrc"
    raise CryoswayError(msg)


def number_key(path: Path) -> list[int | str]:
    """Order files by the numbers in their names: 2 before 10.

    Examples
    --------
    >>> [p.name for p in sorted([Path("v10.mrc"), Path("v2.mrc")], key=number_key)]
    ['v2.mrc', 'v10.mrc']
    """
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _read_labels(folder: Path, count: int, volumes: int) -> tuple[IntArray, FloatArray]:
    """Give states (N,) and latents (N, a) from gt_latents.pkl, or from the order of the images."""
    path = folder / "gt_latents.pkl"
    given = read_rows(path) if path.exists() else None
    if given is not None and len(given) != count:
        msg = f"{path} has {len(given)} rows but combined_poses.pkl has {count}"
        raise CryoswayError(msg)
    flat = None if given is None else np.squeeze(np.asarray(given, np.float64))
    if flat is not None and flat.ndim == 1 and np.array_equal(flat, np.round(flat)):
        states = flat.astype(np.int64)
        if states.min() < 0 or states.max() >= volumes:
            msg = f"{path} names state {states.max()} but there are {volumes} true maps"
            raise CryoswayError(msg)
        return states, _guess_latents(folder.resolve().name, states, volumes)
    states = _split_evenly(folder, count, volumes)
    if flat is not None:
        return states, flat.reshape(count, -1)
    return states, _guess_latents(folder.resolve().name, states, volumes)


def _split_evenly(folder: Path, count: int, volumes: int) -> IntArray:
    """Images lie sorted by state: the same number of each, or Ribosembly's numbers."""
    if (volumes, count) == (len(ASSEMBLY_COUNTS), sum(ASSEMBLY_COUNTS)):
        return np.repeat(np.arange(volumes), ASSEMBLY_COUNTS)
    if count % volumes:
        msg = (
            f"{folder} has {count} images of {volumes} states, and no gt_latents.pkl that says "
            "which image is of which; add it"
        )
        raise CryoswayError(msg)
    return np.repeat(np.arange(volumes), count // volumes)


def _guess_latents(name: str, states: IntArray, volumes: int) -> FloatArray:
    """Give the circle for IgG-1D, whose states turn once round; else one axis for each state.

    Of very many states, as the frames of a trajectory, it is their number.
    """
    if "1d" in name.lower():
        angle = 2 * np.pi * states / volumes
        return np.column_stack([np.cos(angle), np.sin(angle)])
    if volumes > MOST_STATES:
        return np.asarray(states[:, None], np.float64)
    return np.asarray(np.eye(volumes)[states])


def _find_images(folder: Path) -> Path | None:
    lists = sorted((folder / "images").glob("*/sorted_particles*.txt"), key=number_key)
    return lists[0] if lists else None
