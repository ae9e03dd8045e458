"""The STAR file of a prepared stack: every column kept, what preparing changed written over."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryosway.particles._image_store import ImageStore
from cryosway.particles._mrc import read_layout
from cryosway.particles._records import ParticleRecords, StarOrigin
from cryosway.particles._relion_read import CONTRAST, MICROSCOPE_LABELS, ORIGINS_PIXEL
from cryosway.particles._relion_write import (
    RELION_VERSION,
    image_names,
    make_optics_block,
    make_star,
    update_star,
)
from cryosway.particles._star import StarBlock, to_text_column, write_star

FloatArray = npt.NDArray[np.float64]

SOURCE_NAME = "cryoswaySourceImageName"
REMOVED_SHIFTS = ("cryoswayShiftXAngst", "cryoswayShiftYAngst")
_PIXEL_LABELS = ("rlnImagePixelSize", "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification")
_PRIORS = ("rlnOriginXPriorAngst", "rlnOriginYPriorAngst", "rlnOriginXPrior", "rlnOriginYPrior")


@dataclass(frozen=True)
class PreparedStack:
    """What `prepare` has made of a set of particles.

    Attributes
    ----------
    stack : Path
        The stack file.
    name : str
        The stack as the STAR file is to name it.
    pixel_size : numpy.ndarray
        Shape (N,), Å per pixel of each image now.
    white : bool
        Whether protein is known to be white now.
    """

    stack: Path
    name: str
    pixel_size: FloatArray
    white: bool


def prepared_records(records: ParticleRecords, made: PreparedStack) -> ParticleRecords:
    """Return the records with images in the prepared stack, in order and centred."""
    count = len(records)
    return replace(
        records,
        stack_names=(made.name,),
        store=ImageStore([read_layout(made.stack)]),
        stack_of=np.zeros(count, np.int32),
        index=np.arange(count, dtype=np.int64),
        ctf=records.ctf.assign(pixel_size=made.pixel_size),
        shifts=None if records.shifts is None else np.zeros((count, 2)),
        contrast=np.ones(count, np.int8) if made.white else None,
        poses_changed=records.rotations is not None,
    )


def write_prepared_star(path: Path, records: ParticleRecords, made: PreparedStack) -> None:
    """Write the STAR file (RELION 3.1) of a prepared stack.

    Columns of an original STAR file are kept. The name of the original image and the shift that
    was taken out (Å) are in columns of their own.
    """
    after = prepared_records(records, made)
    write_star(path, _blocks(records, after))


def _blocks(before: ParticleRecords, after: ParticleRecords) -> list[StarBlock]:
    origin = after.origin
    if not isinstance(origin, StarOrigin):
        optics, particles = make_star(after)
        return [optics, _extend(particles, before, after)]
    blocks = list(update_star(after, origin, rename_images=True))
    particles = blocks[origin.particles].without((*_PRIORS, *ORIGINS_PIXEL, *_PIXEL_LABELS))
    if origin.optics is None:  # RELION 3.0: optics move from the particles to a table
        particles = replace(particles.without(MICROSCOPE_LABELS.values()), name="particles")
        groups = to_text_column(after.ctf["optics_group"].to_numpy(np.int64))
        particles = replace(
            particles.with_columns({"rlnOpticsGroup": groups}), version=RELION_VERSION
        )
        blocks[origin.particles] = _extend(particles, before, after)
        return [make_optics_block(after), *blocks]
    blocks[origin.particles] = _extend(particles, before, after)
    blocks[origin.optics] = _resize_optics(blocks[origin.optics], after)
    return blocks


def _extend(block: StarBlock, before: ParticleRecords, after: ParticleRecords) -> StarBlock:
    columns = {SOURCE_NAME: to_text_column(image_names(before))}
    if before.shifts is not None:
        values = zip(REMOVED_SHIFTS, before.shifts.T, strict=True)
        columns |= {label: to_text_column(shift, 6) for label, shift in values}
        zeros = to_text_column(np.zeros(len(before)), 6)
        columns |= {"rlnOriginXAngst": zeros, "rlnOriginYAngst": zeros}
    if after.contrast is not None:
        columns[CONTRAST] = to_text_column(after.contrast)
    return block.with_columns(columns)


def _resize_optics(optics: StarBlock, after: ParticleRecords) -> StarBlock:
    """Write new pixel and image sizes into an optics table; groups without particles go."""
    groups = [int(float(text)) for text in optics.columns["rlnOpticsGroup"].to_pylist()]
    sizes = dict(zip(after.ctf["optics_group"], after.ctf["pixel_size"], strict=True))
    rows = np.array([row for row, group in enumerate(groups) if group in sizes])
    kept = [groups[row] for row in rows]
    box = int(after.boxes[0])
    new = {
        "rlnImagePixelSize": to_text_column([sizes[group] for group in kept], 6),
        "rlnImageSize": to_text_column(np.full(len(kept), box)),
        "rlnImageDimensionality": to_text_column(np.full(len(kept), 2)),
    }
    return optics.take(rows).with_columns(new)
