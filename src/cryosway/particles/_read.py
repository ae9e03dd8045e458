"""`read_particles`: one door for every kind of particle file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.particles._bare_stacks import read_bare_stacks
from cryosway.particles._cryosparc_read import read_cryosparc
from cryosway.particles._cs_table import has_fields, read_cs
from cryosway.particles._particle_files import ParticleFiles
from cryosway.particles._particles import Particles
from cryosway.particles._pickles import CTF_COLUMNS, read_cryodrgn_ctf, read_cryodrgn_poses
from cryosway.particles._records import ReadOptions, group_rows
from cryosway.particles._relion_read import read_relion

PathLike = str | os.PathLike[str]
Poses = PathLike | tuple[npt.ArrayLike, npt.ArrayLike]

_STACKS = (".mrcs", ".mrc", ".st", ".txt")


def read_particles(
    path: PathLike | Sequence[PathLike],
    images_dir: PathLike | None = None,
    poses: Poses | None = None,
    ctf: PathLike | None = None,
    *,
    accept_defaults: bool = False,
) -> Particles:
    """Read particle images with their poses and CTF; the images themselves stay on the disk.

    Parameters
    ----------
    path : path or sequence of paths
        A RELION ``.star`` (3.0, 3.1, 4, 5), a cryoSPARC ``.cs``, an image stack ``.mrcs``, or a
        ``.txt`` that lists stacks. Several are put one after the other; several ``.cs`` files
        of which the later ones complete the first (passthrough) are joined on ``uid``.
    images_dir : path, optional
        The folder that holds the stacks, if they are not where the file says; or one stack.
    poses : path or tuple, optional
        Poses that replace those of the file: cryoDRGN's ``poses.pkl``, or rotations (N, 3, 3)
        and shifts (N, 2) in Å.
    ctf : path, optional
        CTF that replaces that of the file: cryoDRGN's ``ctf.pkl``.
    accept_defaults : bool
        Whether to use 300 kV, Cs 2.7 mm and amplitude contrast 0.1 where the file does not say
        (and 1 Å per pixel for a bare stack without).

    Returns
    -------
    Particles
        See there.

    Raises
    ------
    CryoswayError
        Something is missing or wrong; the message names file and row and how to mend it.

    Examples
    --------
    >>> import cryosway as cs
    >>> p = cs.read_particles("particles.star")  # doctest: +SKIP
    >>> p.images(slice(0, 4)).shape  # doctest: +SKIP
    (4, 128, 128)
    """
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(part) for part in path]
    if not paths:
        raise CryoswayError("no particle file was given; give a .star, .cs, .mrcs or .txt file")
    options = ReadOptions(
        images_dir=None if images_dir is None else Path(images_dir),
        accept_defaults=accept_defaults,
        need_poses=poses is None,
        need_ctf=ctf is None,
    )
    groups = _group_files(paths)
    parts = [_read_one(group, options) for group in groups]
    particles = parts[0] if len(parts) == 1 else Particles.concatenate(parts)
    if ctf is not None:
        particles = _apply_ctf(particles, Path(ctf))
    if poses is not None:
        particles = _apply_poses(particles, poses)
    files = ParticleFiles(
        tuple(paths),
        options.images_dir,
        None if poses is None or isinstance(poses, tuple) else Path(poses),
        None if ctf is None else Path(ctf),
        accept_defaults,
        changed=isinstance(poses, tuple),
    )
    return Particles(particles.records, files=files)


def _group_files(paths: Sequence[Path]) -> list[list[Path]]:
    """Put the ``.cs`` files that complete one another together; every other file stands alone."""
    for path in paths:
        _require_readable(path)
    if len(paths) > 1 and all(path.suffix == ".cs" for path in paths):
        tables = [read_cs(path) for path in paths]
        complete = [
            has_fields(t, "blob/") and has_fields(t, "ctf/") and has_fields(t, "align")
            for t in tables
        ]
        if not all(complete):
            return [list(paths)]
    return [[path] for path in paths]


def _require_readable(path: Path) -> None:
    if path.is_dir():
        message = f"{path} is a folder; give the .star, .cs, .mrcs or .txt file in it"
        raise CryoswayError(message)
    if not path.is_file():
        raise CryoswayError(f"{path} does not exist; check the path")
    if path.suffix not in (".star", ".cs", *_STACKS):
        hint = "give a .star, .cs, .mrcs or .txt file"
        raise CryoswayError(f"{path.name} is of no kind that holds particles; {hint}")


def _read_one(paths: list[Path], options: ReadOptions) -> Particles:
    suffix = paths[0].suffix
    if suffix == ".star":
        return Particles(read_relion(paths[0], options))
    if suffix == ".cs":
        return Particles(read_cryosparc(paths, options))
    return Particles(read_bare_stacks(paths[0], options))


def _apply_ctf(particles: Particles, path: Path) -> Particles:
    """Replace the CTF by a cryoDRGN table; its pixel size refers to its own box."""
    table = read_cryodrgn_ctf(path)
    _require_count(len(table), particles, path)
    columns = dict(zip(CTF_COLUMNS, table.T, strict=True))
    boxes = np.array(particles.records.boxes, np.float64)
    columns["pixel_size"] = columns["pixel_size"] * columns.pop("box") / boxes
    groups = group_rows([columns[n] for n in ("pixel_size", "voltage", "cs", "amplitude_contrast")])
    frame = pd.DataFrame({**columns, "optics_group": groups, "bfactor": 0.0, "scale": 1.0})
    return particles.with_ctf(frame)


def _apply_poses(particles: Particles, poses: Poses) -> Particles:
    if isinstance(poses, tuple):
        return particles.with_poses(*poses)
    path = Path(poses)
    rotations, fractions = read_cryodrgn_poses(path)
    _require_count(len(rotations), particles, path)
    if fractions is None:
        fractions = np.zeros((len(rotations), 2))
    edges = particles.records.boxes * particles.ctf["pixel_size"].to_numpy()  # Å
    return particles.with_poses(rotations, fractions * edges[:, None])


def _require_count(count: int, particles: Particles, path: Path) -> None:
    if count != len(particles):
        message = (
            f"{path.name} has {count} rows but there are {len(particles)} particles; "
            "was it made from another file or a selection?"
        )
        raise CryoswayError(message)
