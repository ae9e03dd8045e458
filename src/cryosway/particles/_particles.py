"""`Particles`: images with their poses and CTF, read when asked for."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.particles._image_store import ImageStore
from cryosway.particles._locate import lead_to_stacks
from cryosway.particles._mrc import read_layout
from cryosway.particles._particle_files import ParticleFiles
from cryosway.particles._records import CTF_COLUMNS, CsOrigin, ParticleRecords, StarOrigin

if TYPE_CHECKING:
    from collections.abc import Iterator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Images = npt.NDArray[np.float32]
Index = slice | int | Sequence[int] | Sequence[bool] | npt.NDArray[Any]


class Particles:
    """A set of particle images with what is known of each.

    Made by `read_particles`. Images stay on the disk until `images` asks for some; selections
    with ``p[...]`` share everything with the set that they came from.

    Attributes
    ----------
    box : int
        Pixels along an edge.
    pixel_size : float or dict of int to float
        Å per pixel; per optics group where these differ.
    rotations : numpy.ndarray
        Shape (N, 3, 3), float64: x_image = R x_reference.
    shifts : numpy.ndarray
        Shape (N, 2), float64, Å, (x, y): the shift that centres the image.
    ctf : pandas.DataFrame
        One row per particle: defocus_u, defocus_v (Å), defocus_angle (degrees), voltage (kV),
        cs (mm), amplitude_contrast, phase_shift (degrees), pixel_size (Å), optics_group,
        bfactor (Å²), scale.
    files : ParticleFiles or None
        The files that hold these particles, row for row; None of a selection.
    """

    def __init__(
        self,
        records: ParticleRecords,
        rows: IntArray | None = None,
        files: ParticleFiles | None = None,
    ) -> None:
        self._records = records
        self.files = files
        self._rows = np.arange(len(records)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Index) -> "Particles":
        return Particles(self._records, self._rows[self._resolve(index)])

    def __iter__(self) -> "Iterator[Particles]":
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        boxes = "/".join(str(box) for box in sorted(set(self._boxes().tolist())))
        sizes = sorted(set(self.ctf["pixel_size"].round(4)))
        angstrom = "/".join(f"{size:g}" for size in sizes)
        poses = "with poses" if self.has_poses else "no poses"
        return f"<Particles: {len(self)} images, {boxes} px, {angstrom} Å/px, {poses}>"

    def _resolve(self, index: Index) -> IntArray:
        """Turn a slice, an index, indices or a mask into indices of this set."""
        if isinstance(index, slice):
            return np.arange(len(self))[index]
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                message = (
                    f"a mask of {chosen.size} values cannot select among {len(self)} particles"
                )
                raise CryoswayError(message)
            return np.flatnonzero(chosen)
        chosen = np.atleast_1d(chosen)
        if not chosen.size:
            return np.empty(0, np.int64)
        if chosen.dtype.kind not in "iu":
            message = f"particles are selected by integers or a mask, not by {chosen.dtype}"
            raise CryoswayError(message)
        chosen = chosen.astype(np.int64)
        outside = (chosen < -len(self)) | (chosen >= len(self))
        if outside.any():
            message = f"there is no particle {chosen[outside][0]}: the set has {len(self)}"
            raise CryoswayError(message)
        return np.where(chosen < 0, chosen + len(self), chosen)

    @property
    def rows(self) -> IntArray:
        """Which rows of the table as read these particles are, shape (N,)."""
        return self._rows

    def _boxes(self) -> IntArray:
        return self._records.boxes[self._rows]

    @property
    def records(self) -> ParticleRecords:
        """The table behind this set, with only its particles; for writers."""
        if len(self) == len(self._records) and (self._rows == np.arange(len(self))).all():
            return self._records
        return self._records.take(self._rows)

    @property
    def box(self) -> int:
        """Pixels along an edge of the images."""
        sizes = np.unique(self._boxes())
        if len(sizes) != 1:
            found = ", ".join(map(str, sizes)) or "no"
            message = f"the images have several sizes ({found} px); first run cryosway prepare"
            raise CryoswayError(message)
        return int(sizes[0])

    @property
    def boxes(self) -> dict[int, int]:
        """Pixels along an edge, by optics group."""
        pairs = pd.DataFrame({"group": self.ctf["optics_group"].to_numpy(), "box": self._boxes()})
        distinct = pairs.drop_duplicates()
        if distinct["group"].duplicated().any():
            message = "one optics group has images of several sizes; give each size its own group"
            raise CryoswayError(message)
        return {int(g): int(b) for g, b in distinct.itertuples(index=False)}

    @property
    def pixel_size(self) -> float | dict[int, float]:
        """Å per pixel; by optics group where these differ."""
        sizes = self.ctf["pixel_size"]
        if not len(sizes):
            message = "there is no particle in this set, so it has no pixel size"
            raise CryoswayError(message)
        if np.ptp(sizes.to_numpy()) <= 1e-6 * sizes.iloc[0]:
            return float(sizes.iloc[0])
        means = sizes.groupby(self.ctf["optics_group"].to_numpy()).mean()
        return {int(group): float(size) for group, size in means.items()}  # type: ignore[call-overload]

    @property
    def has_poses(self) -> bool:
        """Whether rotations and shifts are known."""
        return self._records.rotations is not None

    @property
    def has_ctf(self) -> bool:
        """Whether the files gave a CTF; if not, `ctf` describes one that is 1 everywhere."""
        return self._records.has_ctf

    @property
    def rotations(self) -> FloatArray:
        """Rotations, shape (N, 3, 3), float64: x_image = R x_reference."""
        return self._require_poses(self._records.rotations)[self._rows]

    @property
    def shifts(self) -> FloatArray:
        """Shifts in Å, shape (N, 2), float64, (x, y): applied to an image they centre it."""
        return self._require_poses(self._records.shifts)[self._rows]

    def _require_poses(self, values: FloatArray | None) -> FloatArray:
        if values is None:
            first = self._records.stack_names[0] if self._records.stack_names else "these files"
            message = (
                f"the particles of {first} have no poses; refine them, or pass poses= (--poses)"
            )
            raise CryoswayError(message)
        return values

    @property
    def ctf(self) -> pd.DataFrame:
        """CTF parameters, one row per particle; see the class for columns and units."""
        table = self._records.ctf
        if len(self) != len(table) or not (self._rows == np.arange(len(table))).all():
            table = table.iloc[self._rows].reset_index(drop=True)
        return table.loc[:, list(CTF_COLUMNS)].copy(deep=False)

    @property
    def contrast_sign(self) -> int | None:
        """+1 where protein is white in the stored images, −1 where dark, None if not known."""
        signs = self.contrast_signs
        distinct = np.unique(signs)
        return int(distinct[0]) if len(distinct) == 1 and distinct[0] != 0 else None

    @property
    def contrast_signs(self) -> npt.NDArray[np.int8]:
        """Sign of contrast of each image, shape (N,), int8: +1, −1, or 0 where not known."""
        signs = self._records.contrast
        return np.zeros(len(self), np.int8) if signs is None else signs[self._rows]

    @property
    def half_sets(self) -> npt.NDArray[np.int8] | None:
        """Half-set of each particle, shape (N,), int8, 1 or 2; None if the files do not say."""
        halves = self._records.half_sets
        return None if halves is None else halves[self._rows]

    @property
    def aberrations(self) -> list[str]:
        """Columns with higher-order aberrations that are not applied."""
        return list(self._records.aberrations)

    @property
    def source(self) -> pd.DataFrame:
        """Where each image is: image_path, image_index (0-based), image_name, micrograph, uid."""
        records, rows = self._records, self._rows
        paths = np.array([str(layout.path) for layout in records.store.layouts], object)
        stack_of, index = records.stack_of[rows], records.index[rows]
        names = np.array(records.stack_names, object)[stack_of]
        columns: dict[str, Any] = {
            "image_path": paths[stack_of],
            "image_index": index,
            "image_name": [f"{i + 1:06d}@{n}" for i, n in zip(index.tolist(), names, strict=True)],
        }
        if records.micrographs is not None:
            columns["micrograph"] = np.array(records.micrographs.to_pylist(), object)[rows]
        if records.uid is not None:
            columns["uid"] = records.uid[rows]
        return pd.DataFrame(columns)

    def images(self, index: Index = slice(None)) -> Images:
        """Read images.

        Parameters
        ----------
        index : slice, int, indices or mask
            Which of this set. Random indices are read in the order of the disk.

        Returns
        -------
        numpy.ndarray
            Shape (n, D, D), float32, as stored (neither shifted nor scaled nor inverted).

        Raises
        ------
        CryoswayError
            The images asked for have several sizes.
        """
        rows = self._rows[self._resolve(index)]
        records = self._records
        box = self._one_box(rows)
        return records.store.read(records.stack_of[rows], records.index[rows], box)

    def _one_box(self, rows: IntArray) -> int:
        sizes = np.unique(self._records.boxes[rows] if len(rows) else self._records.boxes)
        return int(sizes[0]) if len(sizes) == 1 else self.box

    def with_poses(self, rotations: npt.ArrayLike, shifts: npt.ArrayLike) -> "Particles":
        """Return the particles with other poses.

        Parameters
        ----------
        rotations : array_like
            Shape (N, 3, 3): x_image = R x_reference.
        shifts : array_like
            Shape (N, 2), Å: the shift that centres the image.
        """
        matrices = np.array(rotations, np.float64)
        offsets = np.array(shifts, np.float64)
        if matrices.shape != (len(self), 3, 3) or offsets.shape != (len(self), 2):
            message = (
                f"poses of shapes {matrices.shape} and {offsets.shape} do not fit {len(self)} "
                "particles; give (N, 3, 3) rotations and (N, 2) shifts in Å"
            )
            raise CryoswayError(message)
        if not (np.isfinite(matrices).all() and np.isfinite(offsets).all()):
            message = "the poses given are not finite; remove or mend those particles first"
            raise CryoswayError(message)
        return self._change(rotations=matrices, shifts=offsets, poses_changed=True)

    def with_ctf(self, ctf: pd.DataFrame) -> "Particles":
        """Return the particles with other CTF parameters, a table with the columns of `ctf`."""
        missing = [name for name in CTF_COLUMNS if name not in ctf]
        if missing or len(ctf) != len(self):
            columns = ", ".join(CTF_COLUMNS)
            message = f"a CTF table of {len(self)} rows is needed, with the columns {columns}"
            raise CryoswayError(message)
        table = ctf.loc[:, list(CTF_COLUMNS)].reset_index(drop=True)
        return self._change(ctf=table, has_ctf=True, ctf_changed=True)

    def with_contrast(self, signs: npt.ArrayLike) -> "Particles":
        """Return the particles with known signs of contrast, shape (N,): +1 or −1."""
        given = np.array(signs, np.int8)
        if given.shape != (len(self),) or not np.isin(given, (-1, 1)).all():
            message = f"signs of contrast are +1 or −1, one for each of {len(self)} particles"
            raise CryoswayError(message)
        return self._change(contrast=given)

    def _change(self, **columns: Any) -> "Particles":
        """Return these images, row for row, with something else known of them."""
        files = None if self.files is None else replace(self.files, changed=True)
        return Particles(replace(self.records, **columns), files=files)

    def with_images(self, stack: str | os.PathLike[str]) -> "Particles":
        """Return the particles with other images: particle i shows image i of a stack.

        Parameters
        ----------
        stack : path
            An ``.mrcs`` file of N images.
        """
        layout = read_layout(Path(stack))
        if layout.shape[0] != len(self):
            message = f"{stack} holds {layout.shape[0]} images, but there are {len(self)} particles"
            raise CryoswayError(message)
        changed = replace(
            self.records,
            stack_names=(str(stack),),
            store=ImageStore([layout]),
            stack_of=np.zeros(len(self), np.int32),
            index=np.arange(len(self)),
        )
        return Particles(changed)

    @staticmethod
    def concatenate(parts: "Sequence[Particles]") -> "Particles":
        """Put sets one after the other; optics groups of the same number are kept apart.

        Raises
        ------
        CryoswayError
            Some sets have poses and others do not.
        """
        from cryosway.particles._concatenate import concatenate_records

        return Particles(concatenate_records([part.records for part in parts]))

    def write(self, path: str | os.PathLike[str], *, absolute_paths: bool | None = False) -> Path:
        """Write the metadata of these particles, not their images.

        A STAR file that was read from a STAR file keeps every column and block, a ``.cs`` file
        from a ``.cs`` file every field; changed poses and CTF replace the old ones.

        Parameters
        ----------
        path : path
            ``.star`` for RELION (3.1 layout, or 3.0 where read so) or ``.cs`` for cryoSPARC.
        absolute_paths : bool or None
            Whether to name the stacks by where they were found instead of as in the input. None:
            only where the names of the input would mean nothing to the program: in another format
            than the input's, and in a STAR file if none of the folders above it is the project
            from which they lead to the same stacks.

        Returns
        -------
        Path
            The file written.
        """
        from cryosway.particles._cryosparc_write import write_cryosparc
        from cryosway.particles._relion_write import write_relion

        path = Path(path)
        writers = {".star": write_relion, ".cs": write_cryosparc}
        if path.suffix not in writers:
            message = f"cannot write {path.name}: give a name that ends in .star or .cs"
            raise CryoswayError(message)
        records = self.records
        if absolute_paths is None:
            absolute_paths = not _keep_their_names(records, path)
        if absolute_paths:
            names = tuple(str(layout.path.resolve()) for layout in records.store.layouts)
            records = replace(records, stack_names=names)
        writers[path.suffix](path, records, rename_images=absolute_paths)
        return path

    def fingerprint(self) -> str:
        """Return a SHA-256 of the metadata and of size and time of the stacks."""
        records = self.records
        digest = hashlib.sha256()
        used = np.unique(records.stack_of)
        for stack in used.tolist():
            layout = records.store.layouts[stack]
            digest.update(
                f"{stack} {layout.path.name} {layout.shape} {layout.modified_ns}\n".encode()
            )
        arrays = [records.stack_of, records.index, records.rotations, records.shifts]
        arrays += [records.ctf[name].to_numpy() for name in CTF_COLUMNS]
        for array in arrays:
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _keep_their_names(records: ParticleRecords, path: Path) -> bool:
    """Tell whether stacks can keep their names in a file at `path`."""
    if isinstance(records.origin, CsOrigin):
        return path.suffix == ".cs"
    if not isinstance(records.origin, StarOrigin) or path.suffix != ".star":
        return False
    used = np.unique(records.stack_of).tolist()
    names = [records.stack_names[stack] for stack in used]
    stacks = [records.store.layouts[stack].path for stack in used]
    return lead_to_stacks(names, stacks, path)
