"""cryoSPARC's particle data sets as particle records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from cryosway._errors import CryoswayError
from cryosway.optics import cryosparc_pose_to_matrix
from cryosway.particles._checks import (
    DEFAULTS,
    check_boxes,
    check_consent,
    check_finite,
    check_places,
    check_square,
    warn_aberrations,
    warn_no_ctf,
)
from cryosway.particles._cs_table import Table, has_fields, load_joined
from cryosway.particles._image_store import ImageStore
from cryosway.particles._locate import locate_stacks
from cryosway.particles._records import (
    NO_CTF,
    CsOrigin,
    ParticleRecords,
    ReadOptions,
    group_rows,
    widen_float32,
)

FloatArray = npt.NDArray[np.float64]

MICROSCOPE_FIELDS = {
    "voltage": "ctf/accel_kv",
    "cs": "ctf/cs_mm",
    "amplitude_contrast": "ctf/amp_contrast",
}
_ABERRATIONS = ("ctf/shift_A", "ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag")


def read_cryosparc(paths: Sequence[Path], options: ReadOptions) -> ParticleRecords:
    """Read a particle data set of cryoSPARC.

    Parameters
    ----------
    paths : sequence of Path
        The ``.cs`` file, then its passthrough files, joined on ``uid``. Without any, files
        named ``*passthrough*.cs`` of the same job are sought beside it when images, CTF or
        alignments are lacking.
    options : ReadOptions
        Where the images are, and what may be lacking.
    """
    path = paths[0]
    table = load_joined(paths, ("blob/", "ctf/"))
    alignments = _choose_alignments(table, path, options)
    stack_of, index, names = _read_blobs(table, path)
    layouts = locate_stacks(names, path, options.images_dir)
    check_square(layouts)
    check_places(path, layouts, stack_of, index)
    if "blob/shape" in _names(table):
        check_boxes(path, layouts, stack_of, index, table["blob/shape"][:, -1].astype(np.float64))
    pixel_size = _read_pixel_size(table, path)
    ctf, has_ctf = _read_ctf(table, pixel_size, path, options)
    rotations, shifts = _read_poses(table, alignments, pixel_size, path)
    return ParticleRecords(
        stack_names=names,
        store=ImageStore(layouts),
        stack_of=stack_of,
        index=index,
        ctf=ctf,
        has_ctf=has_ctf,
        rotations=rotations,
        shifts=shifts,
        half_sets=_read_half_sets(table, alignments),
        uid=table["uid"].astype(np.uint64),
        micrographs=_read_micrographs(table),
        contrast=np.sign(table["blob/sign"]).astype(np.int8)
        if "blob/sign" in _names(table)
        else None,
        aberrations=_read_aberrations(table, path),
        origin=CsOrigin(table, alignments),
    )


def _names(table: Table) -> tuple[str, ...]:
    return table.dtype.names or ()


def _choose_alignments(table: Table, path: Path, options: ReadOptions) -> str | None:
    """Return the prefix of the 3D alignments to use; refuse data sets with 2D ones only."""
    if "alignments3D/pose" in _names(table):
        return "alignments3D"
    classes = sorted(
        name.removesuffix("/pose")
        for name in _names(table)
        if name.startswith("alignments_class") and name.endswith("/pose")
    )
    if classes:
        return ",".join(classes)
    if "alignments3D_multi/pose" in _names(table):
        return "alignments3D_multi"
    if options.need_poses and has_fields(table, "alignments2D/"):
        message = (
            f"{path.name} has 2D alignments only (alignments2D), which give no 3D poses; give the "
            "particles of an ab-initio or refinement job, or pass poses="
        )
        raise CryoswayError(message)
    return None


def _read_blobs(
    table: Table, path: Path
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], tuple[str, ...]]:
    if "blob/path" not in _names(table) or "blob/idx" not in _names(table):
        message = (
            f"{path.name} does not say where its images are (no blob/path); pass the passthrough "
            f"file of the job as well: [{path.name!r}, '..._passthrough_particles.cs']"
        )
        raise CryoswayError(message)
    if not len(table):
        raise CryoswayError(f"{path.name} lists no particles; give a file that has some")
    names, stack_of = np.unique(table["blob/path"], return_inverse=True)
    stacks = tuple(_decode(name).lstrip(">") for name in names.tolist())
    # blob/idx is uint32, and products with it would wrap at 4 GiB.
    return stack_of.astype(np.int32).ravel(), table["blob/idx"].astype(np.int64), stacks


def _decode(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _read_pixel_size(table: Table, path: Path) -> FloatArray:
    if "blob/psize_A" not in _names(table):
        message = (
            f"{path.name} gives no pixel size (blob/psize_A); give the .cs file of the particles"
        )
        raise CryoswayError(message)
    sizes = widen_float32(table["blob/psize_A"])
    check_finite({"blob/psize_A": sizes}, path, "correct it")
    if (sizes <= 0).any():
        row = int(np.flatnonzero(sizes <= 0)[0])
        raise CryoswayError(
            f"{path.name} row {row + 1}: blob/psize_A is {sizes[row]}; give it in Å/px"
        )
    return sizes


def _read_ctf(
    table: Table, pixel_size: FloatArray, path: Path, options: ReadOptions
) -> tuple[pd.DataFrame, bool]:
    names = _names(table)
    has_ctf = "ctf/df1_A" in names
    values: dict[str, FloatArray | float] = dict(NO_CTF)
    if has_ctf:
        values |= _read_defocus(table, path) | _read_microscope(table, path, options)
    elif options.need_ctf:
        warn_no_ctf(path, "ctf/df1_A")
    exposure = table["ctf/exp_group_id"] if "ctf/exp_group_id" in names else np.zeros(len(table))
    microscope = [np.broadcast_to(values[name], len(table)) for name in MICROSCOPE_FIELDS]
    groups = group_rows([exposure, *microscope, pixel_size])
    return pd.DataFrame({**values, "pixel_size": pixel_size, "optics_group": groups}), has_ctf


def _read_defocus(table: Table, path: Path) -> dict[str, FloatArray]:
    def field(name: str, default: FloatArray) -> FloatArray:
        return table[name].astype(np.float64) if name in _names(table) else default

    zeros = np.zeros(len(table))
    u = field("ctf/df1_A", zeros)
    values = {
        "defocus_u": u,
        "defocus_v": field("ctf/df2_A", u),
        "defocus_angle": np.degrees(field("ctf/df_angle_rad", zeros)),
        "phase_shift": np.degrees(field("ctf/phase_shift_rad", zeros)),
        "bfactor": field("ctf/bfactor", zeros),
        "scale": field("ctf/scale", zeros + 1.0),
    }
    check_finite({f"ctf {name}": v for name, v in values.items()}, path, "estimate the CTF again")
    return values


def _read_microscope(
    table: Table, path: Path, options: ReadOptions
) -> dict[str, FloatArray | float]:
    values: dict[str, FloatArray | float] = {}
    missing: dict[str, str] = {}
    for name, field in MICROSCOPE_FIELDS.items():
        if field in _names(table):
            values[name] = found = widen_float32(table[field])
            check_finite({field: found}, path, "correct it")
        else:
            values[name], missing[name] = DEFAULTS[name], field
    if options.need_ctf:
        check_consent(missing, path, accept_defaults=options.accept_defaults)
    return values


def _read_poses(
    table: Table, alignments: str | None, pixel_size: FloatArray, path: Path
) -> tuple[FloatArray | None, FloatArray | None]:
    if alignments is None:
        return None, None
    pose = _read_alignment(table, alignments, "pose")
    shift = _read_alignment(table, alignments, "shift")
    size = _read_alignment(table, alignments, "psize_A")
    if pose is None or pose.shape[1:] != (3,):
        message = (
            f"{path.name}: {alignments}/pose is no rotation vector; refine the particles in 3D"
        )
        raise CryoswayError(message)
    shift = np.zeros((len(table), 2)) if shift is None else shift
    remedy = "remove that particle or refine it again"
    check_finite({f"{alignments}/pose": pose.sum(axis=1)}, path, remedy)
    check_finite({f"{alignments}/shift": shift.sum(axis=1)}, path, remedy)
    scale = pixel_size if size is None or (size <= 0).any() else size
    return cryosparc_pose_to_matrix(pose), shift * scale[:, None]


def _read_alignment(table: Table, alignments: str, name: str) -> FloatArray | None:
    """Read a field of the alignments, of each particle's most probable class if there are many."""
    prefixes = alignments.split(",")
    fields = [f"{prefix}/{name}" for prefix in prefixes]
    if any(field not in _names(table) for field in fields):
        return None
    if alignments == "alignments3D_multi":
        values = table[fields[0]].astype(np.float64)
        per_class = table["alignments3D_multi/pose"].shape[1]
        if values.ndim == 1 or values.shape[1] != per_class:
            return values
        return np.asarray(values[np.arange(len(table)), best_class(table, alignments)])
    values = np.stack([table[field].astype(np.float64) for field in fields])
    if name == "psize_A":
        values = np.stack([widen_float32(table[field]) for field in fields])
    return np.asarray(values[best_class(table, alignments), np.arange(len(table))])


def best_class(table: Table, alignments: str) -> npt.NDArray[np.int64]:
    """Return the place, among the classes, of each particle's most probable one, shape (N,)."""
    prefixes = alignments.split(",")
    if alignments == "alignments3D_multi":
        posterior = table["alignments3D_multi/class_posterior"]
        return np.asarray(posterior.argmax(axis=1), np.int64)
    if len(prefixes) == 1:
        return np.zeros(len(table), np.int64)
    posteriors = [table[f"{prefix}/class_posterior"] for prefix in prefixes]
    return np.asarray(np.stack(posteriors).argmax(axis=0), np.int64)


def _read_half_sets(table: Table, alignments: str | None) -> npt.NDArray[np.int8] | None:
    field = f"{(alignments or '').split(',')[0]}/split"
    if field not in _names(table) or table[field].ndim > 1:
        return None
    split = table[field].astype(np.int64)
    return (split + 1).astype(np.int8) if set(np.unique(split)) == {0, 1} else None


def _read_micrographs(table: Table) -> pa.Array | None:
    if "location/micrograph_path" not in _names(table):
        return None
    names = [_decode(name).lstrip(">") for name in table["location/micrograph_path"].tolist()]
    return pa.array(names, pa.string())


def _read_aberrations(table: Table, path: Path) -> tuple[str, ...]:
    present = [name for name in _ABERRATIONS if name in _names(table)]
    found = tuple(name for name in present if np.any(table[name] != 0))
    warn_aberrations(path, found)
    return found
