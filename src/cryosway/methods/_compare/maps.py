"""Maps of the same particles by several jobs, and how far they agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder
from cryosway.landscape import cluster_particles
from cryosway.methods._compare.latents import MatchedJobs
from cryosway.methods._job_files import VolumeIndex
from cryosway.particles import read_map
from cryosway.validate import (
    auc_fsc,
    fsc,
    fsc_resolution,
    low_pass,
    make_solvent_mask,
    resize_volume,
)

FloatArray = NDArray[np.float64]
Volume = NDArray[np.float32]

_SAME_EXTENT = 0.01


@dataclass(frozen=True)
class MapAgreement:
    """How far the maps of two jobs agree, for one group of particles.

    Attributes
    ----------
    pair
        Numbers of the jobs.
    group
        Number of the group, from 1.
    resolution
        Å, where their FSC falls below 0.5 in the mask.
    auc
        Area under the FSC in the mask, cycles per pixel.
    change
        Correlation of what tells the group from the mean of all groups, in one job and the other.
    """

    pair: tuple[int, int]
    group: int
    resolution: float
    auc: float
    change: float


@dataclass(frozen=True, eq=False)
class MatchedMaps:
    """Maps of groups of particles by every job.

    Attributes
    ----------
    groups
        Shape (N,): group of each particle, from 1: k-means classes of the first job's latents.
    maps
        By job and group; shape (D, D, D) each.
    pixel_size
        Å.
    limit
        The largest area under an FSC that the box allows.
    agreement
        Of every pair of jobs and every group.
    """

    groups: NDArray[np.int32]
    maps: list[list[Volume]]
    pixel_size: float
    limit: float
    agreement: list[MapAgreement]


def match_maps(job: JobFolder, matched: MatchedJobs, count: int, seed: int) -> MatchedMaps:
    """Decode the same groups of particles by every job, and compare the maps.

    In every job a group's map is that at the latent, among those of its particles, which is
    nearest to their mean. Maps are written as they are made; those that are there are read.

    Raises
    ------
    CryoswayError
        If a job makes no maps, or maps of another extent.
    """
    groups = cluster_particles(matched.latents[0], count, seed=seed).labels
    present = np.unique(groups)
    box = min(one.box for one in matched.jobs)
    length = matched.jobs[0].box * matched.jobs[0].pixel_size
    index = VolumeIndex(job.path, length / box)
    made: list[list[Volume]] = []
    with job.progress(len(present) * len(matched.jobs), "maps") as progress:
        for place in range(len(matched.jobs)):
            _require_extent(matched, place, length)
            made.append([])
            for group in present:
                made[-1].append(_make(index, matched, place, groups == group, int(group), box))
                progress.advance()
    return MatchedMaps(
        groups, made, length / box, auc_fsc(np.ones(box // 2)), compare_maps(made, length / box)
    )


def _require_extent(matched: MatchedJobs, place: int, length: float) -> None:
    job = matched.jobs[place]
    other = job.box * job.pixel_size
    if abs(other - length) > _SAME_EXTENT * length:
        msg = (
            f"maps of {matched.names[place]} span {other:.1f} Å and those of {matched.names[0]} "
            f"{length:.1f} Å, so that they cannot be compared; give --maps 0 for latents alone"
        )
        raise CryoswayError(msg)


def _make(
    index: VolumeIndex,
    matched: MatchedJobs,
    place: int,
    members: NDArray[np.bool_],
    group: int,
    box: int,
) -> Volume:
    name = f"group_{group}_{matched.names[place]}"
    path = index.folder / f"{name}.mrc"
    if any(entry["file"] == path.name for entry in index.entries):
        return read_map(path)[0]
    latents = matched.latents[place][members]
    centre = latents[np.square(latents - latents.mean(axis=0)).sum(axis=1).argmin()]
    volume = resize_volume(matched.jobs[place].volume(centre), box)
    index.write(
        name, volume, "state", f"group {group}, {matched.names[place]}",
        n_effective=float(members.sum()), z=centre.tolist(),
    )  # fmt: skip
    return volume


def compare_maps(maps: list[list[Volume]], pixel_size: float) -> list[MapAgreement]:
    """Compare the maps of every pair of jobs, group by group, in the solvent mask of all.

    What tells groups apart is compared at the resolution to which the maps agree.
    """
    scaled = [[_scale(volume, maps[0][0]) for volume in of_job] for of_job in maps]
    means = [np.mean(of_job, axis=0) for of_job in scaled]
    mask = make_solvent_mask(np.mean(means, axis=0), pixel_size)
    found = []
    for a in range(len(maps)):
        for b in range(a + 1, len(maps)):
            for group, pair in enumerate(zip(scaled[a], scaled[b], strict=True), start=1):
                curve = fsc(*pair, mask)
                resolution = fsc_resolution(curve, pixel_size, 0.5)
                changes = (
                    low_pass((volume - mean) * mask, pixel_size, resolution)
                    for volume, mean in zip(pair, (means[a], means[b]), strict=True)
                )
                found.append(
                    MapAgreement((a, b), group, resolution, auc_fsc(curve), _correlate(*changes))
                )
    return found


def _scale(volume: Volume, reference: Volume) -> Volume:
    """Bring a map to the scale of another, by least squares."""
    power = float(np.square(volume).sum())
    return volume * np.float32((volume * reference).sum() / power) if power > 0 else volume


def _correlate(a: Volume, b: Volume) -> float:
    norm = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
