"""Several sets of particles as one."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.particles._cryosparc_write import update_table
from cryosway.particles._cs_table import Table
from cryosway.particles._image_store import ImageStore
from cryosway.particles._records import CsOrigin, Origin, ParticleRecords, StarOrigin
from cryosway.particles._relion_write import renumber_optics, update_star
from cryosway.particles._star import StarBlock

IntArray = npt.NDArray[np.int64]


def concatenate_records(parts: Sequence[ParticleRecords]) -> ParticleRecords:
    """Put records one after the other.

    Optics groups that differ are told apart by new numbers. Where all parts came from STAR
    files of one layout, or all from ``.cs`` files, the columns that they share are kept.

    Raises
    ------
    CryoswayError
        There is nothing to put together, or only some parts have poses.
    """
    if not parts:
        raise CryoswayError("there is nothing to concatenate; give at least one set of particles")
    if len(parts) == 1:
        return parts[0]
    with_poses = [part.rotations is not None for part in parts]
    if any(with_poses) and not all(with_poses):
        lacking = parts[with_poses.index(False)].stack_names[0]
        message = f"the particles of {lacking} have no poses but others have; give all or none"
        raise CryoswayError(message)
    settled = _renumber_groups([_settle(part) for part in parts])
    offsets = np.cumsum([0, *(len(part.stack_names) for part in settled[:-1])])
    stack_of = [p.stack_of + offset for p, offset in zip(settled, offsets, strict=True)]
    return ParticleRecords(
        stack_names=tuple(name for part in settled for name in part.stack_names),
        store=ImageStore([layout for part in settled for layout in part.store.layouts]),
        stack_of=np.concatenate(stack_of).astype(np.int32),
        index=np.concatenate([part.index for part in settled]),
        ctf=pd.concat([part.ctf for part in settled], ignore_index=True),
        has_ctf=any(part.has_ctf for part in settled),
        rotations=_join(settled, "rotations"),
        shifts=_join(settled, "shifts"),
        half_sets=_join(settled, "half_sets"),
        uid=_join(settled, "uid"),
        micrographs=_join(settled, "micrographs", pa.concat_arrays),
        contrast=_join_contrast(settled),
        aberrations=tuple(dict.fromkeys(name for part in settled for name in part.aberrations)),
        origin=_join_origins([part.origin for part in settled]),
    )


def _settle(part: ParticleRecords) -> ParticleRecords:
    """Write changed poses and CTF into the origin, so that origins can be joined."""
    origin: Origin | None = part.origin
    if isinstance(origin, StarOrigin):
        origin = replace(origin, blocks=update_star(part, origin))
    elif isinstance(origin, CsOrigin):
        origin = replace(origin, table=update_table(part, origin))
    return replace(part, origin=origin, poses_changed=False, ctf_changed=False)


def _renumber_groups(parts: Sequence[ParticleRecords]) -> list[ParticleRecords]:
    """Give optics groups new numbers where the same number means other optics."""
    meanings: dict[int, tuple[Any, ...]] = {}
    result = []
    for part in parts:
        numbers: dict[int, int] = {}
        for group, meaning in _describe_groups(part).items():
            number = group
            while meanings.get(number, meaning) != meaning:
                number = max(meanings) + 1
            meanings[number] = meaning
            numbers[group] = number
        result.append(part if all(k == v for k, v in numbers.items()) else _renumber(part, numbers))
    return result


def _describe_groups(part: ParticleRecords) -> dict[int, tuple[Any, ...]]:
    """Optics of each group: what must be equal for two groups to be one."""
    labels = ["optics_group", "voltage", "cs", "amplitude_contrast", "pixel_size", "box"]
    table = part.ctf.assign(box=part.boxes).loc[:, labels].drop_duplicates("optics_group")
    rows = {int(row[0]): tuple(row[1:]) for row in table.itertuples(index=False)}
    extra = _optics_texts(part.origin)
    return {group: (*row, extra.get(group)) for group, row in rows.items()}


def _optics_texts(origin: Origin | None) -> dict[int, tuple[tuple[str, str], ...]]:
    """All columns of each row of an optics table but its name, by group."""
    if not isinstance(origin, StarOrigin) or origin.optics is None:
        return {}
    block = origin.blocks[origin.optics]
    labels = [n for n in block.columns if n not in ("rlnOpticsGroup", "rlnOpticsGroupName")]
    groups = [int(float(text)) for text in block.columns["rlnOpticsGroup"].to_pylist()]
    columns = [block.columns[label].to_pylist() for label in labels]
    rows = zip(*columns, strict=True) if columns else [()] * len(groups)
    return {g: tuple(zip(labels, row, strict=True)) for g, row in zip(groups, rows, strict=True)}


def _renumber(part: ParticleRecords, numbers: dict[int, int]) -> ParticleRecords:
    groups = part.ctf["optics_group"].map(numbers).to_numpy().astype(np.int64)
    origin = part.origin
    if isinstance(origin, StarOrigin) and origin.optics is not None:
        origin = renumber_optics(_only_used(origin, numbers), numbers, groups)
    return replace(part, ctf=part.ctf.assign(optics_group=groups), origin=origin)


def _only_used(origin: StarOrigin, numbers: dict[int, int]) -> StarOrigin:
    assert origin.optics is not None
    optics = origin.blocks[origin.optics]
    groups = [int(float(text)) for text in optics.columns["rlnOpticsGroup"].to_pylist()]
    rows = np.array([row for row, group in enumerate(groups) if group in numbers])
    blocks = list(origin.blocks)
    blocks[origin.optics] = optics.take(rows)
    return replace(origin, blocks=tuple(blocks))


def _join(
    parts: Sequence[ParticleRecords], name: str, join: Callable[..., Any] = np.concatenate
) -> Any:
    """Join a column that all parts have; None otherwise."""
    values = [getattr(part, name) for part in parts]
    if any(value is None for value in values):
        return None
    if join is pa.concat_arrays:
        values = [v.combine_chunks() if isinstance(v, pa.ChunkedArray) else v for v in values]
    return join(values)


def _join_contrast(parts: Sequence[ParticleRecords]) -> npt.NDArray[np.int8] | None:
    if all(part.contrast is None for part in parts):
        return None
    unknown = [np.zeros(len(p), np.int8) if p.contrast is None else p.contrast for p in parts]
    return np.concatenate(unknown)


def _join_origins(origins: Sequence[Origin | None]) -> Origin | None:
    stars = [origin for origin in origins if isinstance(origin, StarOrigin)]
    if len(stars) == len(origins) and len({star.optics is None for star in stars}) == 1:
        return _join_stars(stars)
    sets = [origin for origin in origins if isinstance(origin, CsOrigin)]
    if len(sets) == len(origins) and len({part.alignments for part in sets}) == 1:
        return replace(sets[0], table=_join_tables([part.table for part in sets]))
    return None


def _join_stars(stars: Sequence[StarOrigin]) -> StarOrigin:
    first = stars[0]
    blocks = list(first.blocks)
    blocks[first.particles] = _join_blocks([star.blocks[star.particles] for star in stars])
    if first.optics is not None:
        optics = [star.blocks[star.optics] for star in stars if star.optics is not None]
        joined = _join_blocks(optics)
        groups = [int(float(text)) for text in joined.columns["rlnOpticsGroup"].to_pylist()]
        _, rows = np.unique(groups, return_index=True)
        blocks[first.optics] = joined.take(np.sort(rows))
    return replace(first, blocks=tuple(blocks))


def _join_blocks(blocks: Sequence[StarBlock]) -> StarBlock:
    """Put the rows of blocks together in the columns that all have."""
    shared = [n for n in blocks[0].columns if all(n in block for block in blocks)]
    dropped = {n for block in blocks for n in block.columns} - set(shared)
    _warn_dropped(dropped)
    columns = {n: pa.concat_arrays([b.columns[n] for b in blocks]) for n in shared}
    return replace(blocks[0], columns=columns)


def _join_tables(tables: Sequence[Table]) -> Table:
    """Put the rows of data sets together in the fields that all have, texts at full width."""
    names = tables[0].dtype.names or ()
    shared = [n for n in names if all(n in (t.dtype.names or ()) for t in tables)]
    _warn_dropped({n for t in tables for n in t.dtype.names or ()} - set(shared))
    columns = {n: np.concatenate([t[n] for t in tables]) for n in shared}
    result = np.empty(
        sum(map(len, tables)), [(n, c.dtype, c.shape[1:]) for n, c in columns.items()]
    )
    for name, column in columns.items():
        result[name] = column
    return result


def _warn_dropped(names: set[str]) -> None:
    if names:
        message = f"columns that not all files have are left out: {', '.join(sorted(names))}"
        warnings.warn(message, CryoswayWarning, stacklevel=2)
