"""The same particles in several jobs, and how far their latents agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.jobs import Job
from cryosway.landscape import choose_cluster_count, cluster_particles, read_latents
from cryosway.validate import LatentAgreement, compare_latents, score_clusters, share_neighbours

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FEWEST = 20


@dataclass(frozen=True, eq=False)
class MatchedJobs:
    """Jobs and the rows of their tables that are of the same particles.

    Attributes
    ----------
    names
        A name for each job, all different.
    jobs
        The jobs.
    rows
        For each job, shape (N,): where the common particles are in its table, in one order.
    by
        What they were matched by.
    """

    names: list[str]
    jobs: list[Job]
    rows: list[IntArray]
    by: str

    @property
    def latents(self) -> list[FloatArray]:
        """Latents (N, K) of every job."""
        return [job.latents[rows] for job, rows in zip(self.jobs, self.rows, strict=True)]

    @property
    def count(self) -> int:
        """Particles in common."""
        return len(self.rows[0])


def match_jobs(jobs: Sequence[Job]) -> MatchedJobs:
    """Find the particles that all jobs have in common.

    They are matched by ``uid`` where all jobs know it (particles of cryoSPARC), else by the names
    of their images, with folders or without.

    Raises
    ------
    CryoswayError
        If a job has no latents, a name stands for several particles, or there are hardly any in
        common.
    """
    for job in jobs:
        read_latents(job)
    tables = [job.particles for job in jobs]
    most: tuple[list[IntArray], str] = ([np.empty(0, np.int64)] * len(jobs), "name")
    for by, keys in _list_keys(tables):
        rows = _intersect(keys)
        if rows is not None and len(rows[0]) > len(most[0][0]):
            most = rows, by
        if len(most[0][0]) == min(map(len, tables)):
            break
    rows, by = most
    if len(rows[0]) < _FEWEST:
        names = " and ".join(str(job.path) for job in jobs)
        msg = (
            f"{names} have {len(rows[0])} particles in common, by uid and image name (as "
            f"{tables[0]['image_name'].iloc[0]} and {tables[-1]['image_name'].iloc[0]}); compare "
            "jobs on the same images"
        )
        raise CryoswayError(msg)
    return MatchedJobs(name_jobs([job.path for job in jobs]), list(jobs), rows, by)


def _list_keys(tables: list[pd.DataFrame]) -> list[tuple[str, list["pd.Series[str]"]]]:
    found = []
    if all("uid" in table for table in tables):
        found.append(("uid", [table["uid"].astype(str) for table in tables]))
    names = [table["image_name"].astype(str) for table in tables]
    bare = [name.str.replace(r"@.*/", "@", regex=True) for name in names]
    return [*found, ("image name", names), ("image name without folders", bare)]


def _intersect(keys: list["pd.Series[str]"]) -> list[IntArray] | None:
    """Give for each table the rows of the common keys, or None where a key is not unique."""
    indices = [pd.Index(key) for key in keys]
    if not all(index.is_unique for index in indices):
        return None
    common = indices[0]
    for index in indices[1:]:
        common = common[common.isin(index)]
    return [np.asarray(index.get_indexer(common), np.int64) for index in indices]


def name_jobs(paths: Sequence[Path]) -> list[str]:
    """Name jobs by their folders, with as much of the path as tells them apart.

    Examples
    --------
    >>> name_jobs([Path("/a/vae"), Path("/b/vae")])
    ['a_vae', 'b_vae']
    """
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["_".join(part.strip("/") for part in one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    msg = f"{paths[0]} is given twice; compare a job with another one"
    raise CryoswayError(msg)


@dataclass(frozen=True, eq=False)
class PairAgreement:
    """How far the latents of two jobs agree.

    Attributes
    ----------
    pair
        Numbers of the jobs.
    latents
        What affine maps see.
    shared
        Shape (N,): share of nearest neighbours in common, for every particle.
    chance
        Its mean for latents that have nothing to do with each other.
    ari
        Adjusted Rand index of the k-means classes of both.
    """

    pair: tuple[int, int]
    latents: LatentAgreement
    shared: FloatArray
    chance: float
    ari: float


def compare_all(
    matched: MatchedJobs, neighbours: int, clusters: int | None, seed: int
) -> list[PairAgreement]:
    """Compare every pair of jobs."""
    latents = matched.latents
    count = clusters or choose_cluster_count(matched.count)
    labels = [cluster_particles(one, count, seed=seed).labels for one in latents]
    found = []
    for a, b in combinations(range(len(latents)), 2):
        shared, chance = share_neighbours(latents[a], latents[b], neighbours)
        ari = score_clusters(labels[a], labels[b])["ari"]
        linear = compare_latents(latents[a], latents[b], seed)
        found.append(PairAgreement((a, b), linear, shared, chance, ari))
    return found
