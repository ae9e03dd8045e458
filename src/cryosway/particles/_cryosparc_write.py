"""Particle records as cryoSPARC data sets."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.optics import matrix_to_cryosparc_pose
from cryosway.particles._cryosparc_read import MICROSCOPE_FIELDS
from cryosway.particles._cs_table import Table, append_fields, field_types, write_cs
from cryosway.particles._records import CsOrigin, ParticleRecords

Fields = dict[str, npt.NDArray[Any]]

_UNSET_FLOAT = ("error", "error_min", "resid_pow", "slice_pow", "image_pow", "cross_cor")


def write_cryosparc(path: Path, records: ParticleRecords, *, rename_images: bool = False) -> None:
    """Write a ``.cs`` file: every field and ``uid`` of a data set read, or one made anew.

    Parameters
    ----------
    path : Path
        The file to write.
    records : ParticleRecords
        What to write.
    rename_images : bool
        Whether the names of the stacks have been changed since they were read.

    Raises
    ------
    CryoswayError
        A ``uid`` occurs twice, which cryoSPARC refuses.
    """
    if isinstance(records.origin, CsOrigin):
        table = update_table(records, records.origin, rename_images=rename_images)
    else:
        table = make_table(records)
    if len(np.unique(table["uid"])) != len(table):
        message = (
            f"cannot write {path.name}: some particles occur more than once and would share a uid; "
            "select each particle once"
        )
        raise CryoswayError(message)
    write_cs(path, table)


def update_table(
    records: ParticleRecords, origin: CsOrigin, *, rename_images: bool = False
) -> Table:
    """Return the data set of origin, with what has changed written over."""
    changed: Fields = {}
    if rename_images:
        changed |= _blob_fields(records)
    if records.poses_changed:
        changed |= _changed_poses(records, origin)
    if records.ctf_changed:
        changed |= _ctf_fields(records)
    if not changed:
        return origin.table
    dtypes = field_types(origin.table)
    replaced = {n: v for n, v in changed.items() if n in dtypes and not n.startswith("blob/")}
    table = origin.table.copy()
    for name, values in replaced.items():
        table[name] = values
    added = {name: values for name, values in changed.items() if name not in replaced}
    return append_fields(_without(table, added), added) if added else table


def _without(table: Table, fields: Fields) -> Table:
    """Drop fields whose text would not fit the old width."""
    kept = {name: dtype for name, dtype in field_types(table).items() if name not in fields}
    slim = np.empty(len(table), np.dtype(list(kept.items())))
    for name in kept:
        slim[name] = table[name]
    return slim


def _changed_poses(records: ParticleRecords, origin: CsOrigin) -> Fields:
    """Poses into the alignments they were read from; into a new ``alignments3D`` if into none."""
    if origin.alignments is None or origin.alignments not in _single_alignments(origin):
        return _alignment_fields(records)
    fields = field_types(origin.table)
    prefix = origin.alignments
    new = _alignment_fields(records, prefix)
    wanted = {f"{prefix}/pose", f"{prefix}/shift", f"{prefix}/psize_A"}
    return {name: new[name] for name in wanted if name in fields or name.endswith("psize_A")}


def _single_alignments(origin: CsOrigin) -> set[str]:
    """Prefixes of alignments with one pose per particle."""
    names = origin.table.dtype.names or ()
    return {
        name.removesuffix("/pose")
        for name in names
        if name.endswith("/pose") and origin.table[name].shape[1:] == (3,)
    }


def make_table(records: ParticleRecords) -> Table:
    """Return a data set with ``uid``, ``blob/``, ``ctf/`` and ``alignments3D/``."""
    fields: Fields = {"uid": _uids(records), **_blob_fields(records)}
    boxes = records.boxes.astype(np.uint32)
    fields["blob/shape"] = np.stack([boxes, boxes], axis=1)
    fields["blob/psize_A"] = records.ctf["pixel_size"].to_numpy(np.float32)
    signs = np.ones(len(records), np.float32) if records.contrast is None else records.contrast
    fields["blob/sign"] = np.where(signs == 0, 1, signs).astype(np.float32)
    if records.has_ctf:
        fields["ctf/type"] = np.full(len(records), b"imported")
        fields |= _ctf_fields(records)
    if records.rotations is not None:
        fields |= _alignment_fields(records)
    if records.micrographs is not None:
        names = [name.encode() for name in records.micrographs.to_pylist()]
        fields["location/micrograph_path"] = np.array(names)
    dtype = [(name, values.dtype, values.shape[1:]) for name, values in fields.items()]
    table = np.empty(len(records), np.dtype(dtype))
    for name, values in fields.items():
        table[name] = values
    return table


def _uids(records: ParticleRecords) -> npt.NDArray[np.uint64]:
    """Return the uids known, or such as depend on nothing but the names of the images."""
    if records.uid is not None:
        return records.uid
    places = zip(records.index.tolist(), records.stack_of.tolist(), strict=True)
    names = (f"{index + 1}@{records.stack_names[stack]}".encode() for index, stack in places)
    hashes = b"".join(hashlib.blake2b(name, digest_size=8).digest() for name in names)
    return np.frombuffer(hashes, np.uint64).copy()


def _blob_fields(records: ParticleRecords) -> Fields:
    names = np.array([name.encode() for name in records.stack_names])
    return {"blob/path": names[records.stack_of], "blob/idx": records.index.astype(np.uint32)}


def _ctf_fields(records: ParticleRecords) -> Fields:
    ctf = records.ctf
    fields: dict[str, Any] = {
        "ctf/exp_group_id": ctf["optics_group"].to_numpy(np.uint32),
        "ctf/df1_A": ctf["defocus_u"],
        "ctf/df2_A": ctf["defocus_v"],
        "ctf/df_angle_rad": np.radians(ctf["defocus_angle"]),
        "ctf/phase_shift_rad": np.radians(ctf["phase_shift"]),
        "ctf/scale": ctf["scale"],
        "ctf/bfactor": ctf["bfactor"],
        "blob/psize_A": ctf["pixel_size"],
    }
    fields |= {field: ctf[name] for name, field in MICROSCOPE_FIELDS.items()}
    arrays = {name: np.asarray(values) for name, values in fields.items()}
    return {n: v.astype(np.float32) if v.dtype == np.float64 else v for n, v in arrays.items()}


def _alignment_fields(records: ParticleRecords, prefix: str = "alignments3D") -> Fields:
    assert records.rotations is not None and records.shifts is not None
    count = len(records)
    size = records.ctf["pixel_size"].to_numpy()
    halves = np.arange(count) % 2 if records.half_sets is None else records.half_sets - 1
    fields: Fields = {
        f"{prefix}/split": halves.astype(np.uint32),
        f"{prefix}/shift": (records.shifts / size[:, None]).astype(np.float32),
        f"{prefix}/pose": matrix_to_cryosparc_pose(records.rotations).astype(np.float32),
        f"{prefix}/psize_A": size.astype(np.float32),
        f"{prefix}/alpha": np.ones(count, np.float32),
        f"{prefix}/alpha_min": np.zeros(count, np.float32),
        f"{prefix}/weight": np.ones(count, np.float32),
        f"{prefix}/class": np.zeros(count, np.uint32),
        f"{prefix}/class_posterior": np.ones(count, np.float32),
    }
    return fields | {f"{prefix}/{name}": np.zeros(count, np.float32) for name in _UNSET_FLOAT}
