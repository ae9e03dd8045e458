"""RELION's particle STAR files (3.0, 3.1, 4, 5) as particle records."""

import re
from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cryosway._errors import CryoswayError
from cryosway.optics import relion_euler_to_matrix
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
from cryosway.particles._image_store import ImageStore
from cryosway.particles._locate import locate_stacks
from cryosway.particles._mrc import MrcLayout
from cryosway.particles._records import NO_CTF, ParticleRecords, ReadOptions, StarOrigin, group_rows
from cryosway.particles._relion_table import IMAGE_NAME, ParticleTable
from cryosway.particles._star import read_numbers

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PIXEL = ("rlnOriginX", "rlnOriginY")
CTF_LABELS = {
    "defocus_u": "rlnDefocusU",
    "defocus_v": "rlnDefocusV",
    "defocus_angle": "rlnDefocusAngle",
    "phase_shift": "rlnPhaseShift",
    "bfactor": "rlnCtfBfactor",
    "scale": "rlnCtfScalefactor",
}
MICROSCOPE_LABELS = {
    "voltage": "rlnVoltage",
    "cs": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}
CONTRAST = "cryoswayContrast"
UIDS = ("cryoswayUid", "ucsfUid")
_MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
_ZERO_WHEN_IDEAL = ("rlnBeamTiltX", "rlnBeamTiltY")
_VECTORS = ("rlnOddZernike", "rlnEvenZernike")
_REFINE_AGAIN = "remove that particle or refine it again"


def read_relion(path: Path, options: ReadOptions) -> ParticleRecords:
    """Read a particle STAR file of RELION.

    Parameters
    ----------
    path : Path
        The STAR file: with an optics table (3.1 and later) or without (3.0).
    options : ReadOptions
        Where the images are, and what may be lacking.

    Raises
    ------
    CryoswayError
        The file, or an image that it names, cannot be used; the message says why and where.
    """
    table = ParticleTable(path)
    _refuse_unsupported(table)
    index, stack_of, names = _split_image_names(table)
    layouts = locate_stacks(names, path, options.images_dir)
    check_square(layouts)
    check_places(path, layouts, stack_of, index)
    declared = table.find("rlnImageSize")
    if declared is not None:
        check_boxes(path, layouts, stack_of, index, declared)
    pixel_size = _read_pixel_size(table, layouts, stack_of)
    ctf, has_ctf = _read_ctf(table, pixel_size, options)
    rotations, shifts = _read_poses(table, pixel_size)
    return ParticleRecords(
        stack_names=names,
        store=ImageStore(layouts),
        stack_of=stack_of,
        index=index,
        ctf=ctf,
        has_ctf=has_ctf,
        rotations=rotations,
        shifts=shifts,
        half_sets=_read_half_sets(table),
        uid=_read_uid(table),
        micrographs=_read_micrographs(table),
        contrast=_read_contrast(table),
        aberrations=_read_aberrations(table),
        origin=StarOrigin(table.blocks, table.place, table.optics_place),
    )


def _read_micrographs(table: ParticleTable) -> pa.Array | None:
    """Read the names of micrographs, unquoted; many particles share one."""
    if "rlnMicrographName" not in table.block:
        return None
    coded = table.block.columns["rlnMicrographName"].dictionary_encode()
    names = [gemmi.cif.as_string(name) for name in coded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(coded.indices)


def _refuse_unsupported(table: ParticleTable) -> None:
    name = table.path.name
    dimensions = table.find("rlnImageDimensionality")
    if "rlnTomoParticleName" in table.block or (dimensions is not None and (dimensions == 3).any()):
        message = (
            f"{name} lists subtomograms or tilt series; cryosway reads single-particle images only"
        )
        raise CryoswayError(message)
    premultiplied = table.find("rlnCtfDataAreCtfPremultiplied")
    if premultiplied is not None and (premultiplied != 0).any():
        message = (
            f"{name} says that its images were multiplied by their CTF "
            "(rlnCtfDataAreCtfPremultiplied), which cryosway does not model; extract them without"
        )
        raise CryoswayError(message)


def _split_image_names(
    table: ParticleTable,
) -> tuple[IntArray, npt.NDArray[np.int32], tuple[str, ...]]:
    """Split ``000012@stack.mrcs`` into index 11 and the stack; a bare name is its first image."""
    column = table.block.columns[IMAGE_NAME]
    parts = pc.split_pattern(column, "@", max_splits=1)
    counts = pc.list_value_length(parts).to_numpy()
    flat = parts.flatten()
    last = np.cumsum(counts) - 1
    names = flat.take(pa.array(last)).dictionary_encode()
    numbers = np.ones(len(counts), np.int64)
    with_number = counts == 2
    try:
        given = flat.take(pa.array(last[with_number] - 1))
        numbers[with_number] = pc.cast(given, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        _refuse_image_name(column.to_pylist(), table.path)
    stacks = tuple(_stack_name(name) for name in names.dictionary.to_pylist())
    return numbers - 1, names.indices.to_numpy().astype(np.int32), stacks


def _stack_name(written: str) -> str:
    """Drop quotes and RELION's ``:mrcs``, which says how to read a file of another ending."""
    return re.sub(r":mrcs?$", "", written.strip("'\""))


def _refuse_image_name(names: list[str], path: Path) -> None:
    for row, name in enumerate(names):
        number, at, _ = name.strip("'\"").partition("@")
        if at and not number.isdigit():
            message = f"{path.name} row {row + 1}: {name!r} is no image name as 000001@stack.mrcs"
            raise CryoswayError(message)


def _read_pixel_size(
    table: ParticleTable, layouts: list[MrcLayout], stack_of: npt.NDArray[np.int32]
) -> FloatArray:
    """Å per pixel of each particle, from the first source that gives it."""
    for label in ("rlnImagePixelSize", "rlnPixelSize"):
        sizes = table.find(label)
        if sizes is not None:
            return _require_positive(sizes, label, table.path)
    detector, magnification = table.find("rlnDetectorPixelSize"), table.find("rlnMagnification")
    if detector is not None and magnification is not None:  # µm on the detector
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = detector * 1e4 / magnification
        return _require_positive(sizes, "rlnDetectorPixelSize / rlnMagnification", table.path)
    sizes = np.array([layout.voxel_size[0] for layout in layouts])[stack_of]
    if (sizes <= 0).any():
        message = (
            f"{table.path.name} gives no pixel size (rlnImagePixelSize) and nor do the headers of "
            "its stacks; add the column rlnImagePixelSize"
        )
        raise CryoswayError(message)
    return sizes


def _require_positive(sizes: FloatArray, label: str, path: Path) -> FloatArray:
    bad = ~((sizes > 0) & np.isfinite(sizes))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CryoswayError(f"{path.name} row {row + 1}: {label} is {sizes[row]}; give it in Å/px")
    return sizes


def _read_ctf(
    table: ParticleTable, pixel_size: FloatArray, options: ReadOptions
) -> tuple[pd.DataFrame, bool]:
    """CTF parameters of each particle, and whether the file had any."""
    has_ctf = "rlnDefocusU" in table.block
    values: dict[str, FloatArray | float] = dict(NO_CTF)
    if has_ctf:
        values |= _read_defocus(table)
        values |= _read_microscope(table, options)
    elif options.need_ctf:
        warn_no_ctf(table.path, "rlnDefocusU")
    microscope = [np.broadcast_to(values[name], len(table)) for name in MICROSCOPE_LABELS]
    groups = table.groups
    if groups is None:
        groups = group_rows([*microscope, pixel_size])
    frame = pd.DataFrame({**values, "pixel_size": pixel_size, "optics_group": groups})
    return frame, has_ctf


def _read_defocus(table: ParticleTable) -> dict[str, FloatArray]:
    values = {
        name: read_numbers(table.block, label, table.path)
        for name, label in CTF_LABELS.items()
        if label in table.block
    }
    values.setdefault("defocus_v", values["defocus_u"])
    values.setdefault("defocus_angle", np.zeros(len(table)))
    check_finite({CTF_LABELS[n]: v for n, v in values.items()}, table.path, "correct or remove it")
    return values


def _read_microscope(table: ParticleTable, options: ReadOptions) -> dict[str, FloatArray | float]:
    values: dict[str, FloatArray | float] = {}
    missing: dict[str, str] = {}
    for name, label in MICROSCOPE_LABELS.items():
        found = table.find(label)
        if found is None:
            missing[name] = label
        values[name] = DEFAULTS[name] if found is None else found
    found_values: Mapping[str, FloatArray] = {
        MICROSCOPE_LABELS[n]: v for n, v in values.items() if isinstance(v, np.ndarray)
    }
    check_finite(found_values, table.path, "correct the optics")
    if options.need_ctf:
        check_consent(missing, table.path, accept_defaults=options.accept_defaults)
    return values


def _read_poses(
    table: ParticleTable, pixel_size: FloatArray
) -> tuple[FloatArray | None, FloatArray | None]:
    if not all(label in table.block for label in ANGLES):
        return None, None
    angles = {label: read_numbers(table.block, label, table.path) for label in ANGLES}
    check_finite(angles, table.path, _REFINE_AGAIN)
    shifts = np.zeros((len(table), 2))
    for labels, unit in ((ORIGINS_PIXEL, pixel_size), (ORIGINS_ANGSTROM, 1.0)):
        for axis, label in enumerate(labels):
            if label in table.block:
                values = read_numbers(table.block, label, table.path)
                check_finite({label: values}, table.path, _REFINE_AGAIN)
                shifts[:, axis] = values * unit
    return relion_euler_to_matrix(*angles.values()), shifts


def _read_half_sets(table: ParticleTable) -> npt.NDArray[np.int8] | None:
    if "rlnRandomSubset" not in table.block:
        return None
    subsets = read_numbers(table.block, "rlnRandomSubset", table.path)
    return subsets.astype(np.int8) if np.isin(subsets, (1, 2)).all() else None


def _read_uid(table: ParticleTable) -> npt.NDArray[np.uint64] | None:
    for label in UIDS:
        if label in table.block:
            try:
                return np.asarray(pc.cast(table.block.columns[label], pa.uint64()).to_numpy())
            except pa.ArrowInvalid:
                return None
    return None


def _read_contrast(table: ParticleTable) -> npt.NDArray[np.int8] | None:
    signs = table.find(CONTRAST)
    return None if signs is None else np.sign(signs).astype(np.int8)


def _read_aberrations(table: ParticleTable) -> tuple[str, ...]:
    """Labels of aberrations that are present and not zero."""
    ideal = {**dict.fromkeys(_ZERO_WHEN_IDEAL, 0.0), **_MAGNIFICATION}
    names = [
        label
        for label, value in ideal.items()
        if (found := table.find(label)) is not None and (found != value).any()
    ]
    names += [
        label
        for label in _VECTORS
        if any(re.search(r"(?<![eE\d.])-?[\d.]*[1-9]", text) for text in table.find_texts(label))
    ]
    warn_aberrations(table.path, names)
    return tuple(names)
