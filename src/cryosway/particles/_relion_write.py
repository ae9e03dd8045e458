"""Particle records as STAR files that RELION opens."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from cryosway.optics import matrix_to_relion_euler
from cryosway.particles._records import ParticleRecords, StarOrigin
from cryosway.particles._relion_read import (
    ANGLES,
    CONTRAST,
    CTF_LABELS,
    MICROSCOPE_LABELS,
    ORIGINS_ANGSTROM,
    ORIGINS_PIXEL,
    UIDS,
)
from cryosway.particles._relion_table import IMAGE_NAME
from cryosway.particles._star import StarBlock, to_text_column, write_star

Columns = dict[str, pa.Array]

RELION_VERSION = "30001"
_PIXEL_LABELS = ("rlnImagePixelSize", "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification")


def write_relion(path: Path, records: ParticleRecords, *, rename_images: bool = False) -> None:
    """Write a STAR file.

    Records that came from a STAR file keep its layout (3.0, 3.1 or later), blocks, columns and
    texts; others become a RELION 3.1 file with an optics table.

    Parameters
    ----------
    path : Path
        The file to write.
    records : ParticleRecords
        What to write.
    rename_images : bool
        Whether the names of the stacks have been changed since they were read.
    """
    if isinstance(records.origin, StarOrigin):
        write_star(path, update_star(records, records.origin, rename_images=rename_images))
    else:
        write_star(path, make_star(records))


def update_star(
    records: ParticleRecords, origin: StarOrigin, *, rename_images: bool = False
) -> tuple[StarBlock, ...]:
    """Return the blocks of the STAR file of origin, with what has changed written over."""
    blocks = list(origin.blocks)
    block = blocks[origin.particles]
    if rename_images:
        block = block.with_columns({IMAGE_NAME: to_text_column(image_names(records))})
    if records.poses_changed:
        in_pixels = origin.optics is None and not any(o in block for o in ORIGINS_ANGSTROM)
        block = block.without(ORIGINS_ANGSTROM if in_pixels else ORIGINS_PIXEL)
        block = block.with_columns(_pose_columns(records, in_pixels=in_pixels))
    if records.ctf_changed:
        block = block.with_columns(_ctf_columns(records.ctf))
        if origin.optics is None:
            block = block.without(_PIXEL_LABELS).with_columns(_microscope_columns(records.ctf))
        else:
            block = block.with_columns(_group_column(records.ctf))
            blocks[origin.optics] = make_optics_block(records)
    blocks[origin.particles] = block
    return tuple(blocks)


def make_star(records: ParticleRecords) -> list[StarBlock]:
    """Return a RELION 3.1 file (optics and particles) for records of any origin."""
    columns: Columns = {IMAGE_NAME: to_text_column(image_names(records))}
    if records.micrographs is not None:
        columns["rlnMicrographName"] = to_text_column(records.micrographs.to_pylist())
    columns |= _group_column(records.ctf)
    if records.has_ctf:
        columns |= _ctf_columns(records.ctf)
    if records.rotations is not None:
        columns |= _pose_columns(records, in_pixels=False)
    if records.half_sets is not None:
        columns["rlnRandomSubset"] = to_text_column(records.half_sets)
    if records.contrast is not None:
        columns[CONTRAST] = to_text_column(records.contrast)
    if records.uid is not None:
        columns[UIDS[0]] = to_text_column(records.uid)
    particles = StarBlock("particles", columns, version=RELION_VERSION)
    return [make_optics_block(records), particles]


def image_names(records: ParticleRecords) -> list[str]:
    """Names of images as RELION writes them, ``000001@stack.mrcs``.

    A stack whose name does not end in ``.mrcs`` gets RELION's ``:mrcs``, without which RELION
    would take it for a volume.
    """
    stacks = [n if PurePosixPath(n).suffix == ".mrcs" else f"{n}:mrcs" for n in records.stack_names]
    places = zip(records.index.tolist(), records.stack_of.tolist(), strict=True)
    return [f"{index + 1:06d}@{stacks[stack]}" for index, stack in places]


def _pose_columns(records: ParticleRecords, *, in_pixels: bool) -> Columns:
    assert records.rotations is not None and records.shifts is not None
    columns = dict(zip(ANGLES, matrix_to_relion_euler(records.rotations), strict=True))
    shifts = records.shifts
    if in_pixels:
        shifts = shifts / records.ctf["pixel_size"].to_numpy()[:, None]
    columns |= dict(zip(ORIGINS_PIXEL if in_pixels else ORIGINS_ANGSTROM, shifts.T, strict=True))
    return {label: to_text_column(values, 6) for label, values in columns.items()}


def _ctf_columns(ctf: pd.DataFrame) -> Columns:
    return {label: to_text_column(ctf[name], 6) for name, label in CTF_LABELS.items()}


def _microscope_columns(ctf: pd.DataFrame) -> Columns:
    """Optics as columns of the particle table, for the layout of RELION 3.0."""
    columns = {label: to_text_column(ctf[name], 6) for name, label in MICROSCOPE_LABELS.items()}
    columns["rlnDetectorPixelSize"] = to_text_column(ctf["pixel_size"], 6)  # µm at 10,000 ×
    columns["rlnMagnification"] = to_text_column(np.full(len(ctf), 1e4), 6)
    return columns


def _group_column(ctf: pd.DataFrame) -> Columns:
    return {"rlnOpticsGroup": to_text_column(ctf["optics_group"].to_numpy(np.int64))}


def make_optics_block(records: ParticleRecords) -> StarBlock:
    """Return the optics table, one row for each optics group of the particles."""
    ctf = records.ctf.assign(box=records.boxes)
    groups = ctf.drop_duplicates("optics_group").sort_values("optics_group")
    numbers = groups["optics_group"].to_numpy(np.int64)
    values: dict[str, tuple[npt.ArrayLike, int | None]] = {
        "rlnOpticsGroup": (numbers, None),
        "rlnOpticsGroupName": ([f"opticsGroup{number}" for number in numbers], None),
        "rlnVoltage": (groups["voltage"], 6),
        "rlnSphericalAberration": (groups["cs"], 6),
        "rlnAmplitudeContrast": (groups["amplitude_contrast"], 6),
        "rlnImagePixelSize": (groups["pixel_size"], 6),
        "rlnImageSize": (groups["box"].to_numpy(np.int64), None),
        "rlnImageDimensionality": (np.full(len(groups), 2), None),
    }
    columns: dict[str, Any] = {k: to_text_column(v, d) for k, (v, d) in values.items()}
    return StarBlock("optics", columns, version=RELION_VERSION)


def renumber_optics(
    origin: StarOrigin, numbers: dict[int, int], groups: npt.NDArray[np.int64]
) -> StarOrigin:
    """Return the file with optics groups renumbered, as concatenated files need.

    Parameters
    ----------
    origin : StarOrigin
        A file with an optics table.
    numbers : dict
        Old number → new number.
    groups : numpy.ndarray
        Shape (N,): new number of each particle.
    """
    assert origin.optics is not None
    optics, particles = origin.blocks[origin.optics], origin.blocks[origin.particles]
    old = [int(float(text)) for text in optics.columns["rlnOpticsGroup"].to_pylist()]
    new = [numbers.get(number, number) for number in old]
    columns = {"rlnOpticsGroup": to_text_column(np.array(new))}
    if new != old and "rlnOpticsGroupName" in optics:
        columns["rlnOpticsGroupName"] = to_text_column([f"opticsGroup{number}" for number in new])
    blocks = list(origin.blocks)
    blocks[origin.optics] = optics.with_columns(columns)
    blocks[origin.particles] = particles.with_columns({"rlnOpticsGroup": to_text_column(groups)})
    return replace(origin, blocks=tuple(blocks))
