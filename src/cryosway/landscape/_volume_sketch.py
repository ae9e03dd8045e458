"""Some hundred volumes over a landscape, made once and kept: cryoDRGN's landscape analysis."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import (
    Progress,
    load_tensors,
    read_table,
    save_tensors,
    write_json,
    write_table,
)
from cryosway.jobs import Job, MapFinish
from cryosway.landscape._clusters import assign_nearest
from cryosway.landscape._coordinates import PrincipalAxes
from cryosway.landscape._density import count_support
from cryosway.landscape._latents import note_decisions
from cryosway.landscape._map_files import MapRequest, fingerprint_model, write_maps
from cryosway.landscape._volume_clusters import NO_STRUCTURE, Linkage
from cryosway.landscape._volume_space import VolumeSpace, analyse_volumes, fit_mapping
from cryosway.particles import read_map
from cryosway.validate import make_solvent_mask

FloatArray = NDArray[np.floating]
SKETCH_NAME = "landscape_volumes.safetensors"
SUMMARY_NAME = "volume_space.json"
MAP_KIND = "volume_cluster"
BOX = 48
FINEST_VOXELS = 2.0
"""Volumes are low-passed to so many voxels of their box."""
_SAVE_SECONDS = 60.0
_FIT_AT_MOST = 50_000


@final
@dataclass(frozen=True)
class VolumeOptions:
    """How to look at a landscape by its volumes.

    Attributes
    ----------
    count : int
        Number of volumes.
    clusters : int or None
        Of them; None to choose.
    linkage : str
        Of the clusters: ``average``, ``ward`` or ``complete``.
    seed : int
        Of the choice of particles.
    """

    count: int
    clusters: int | None = None
    linkage: Linkage = "average"
    seed: int = 0

    def check(self, particles: int) -> None:
        """Raise CryoswayError where so many volumes or clusters cannot be made."""
        if not 10 <= self.count <= particles:
            message = (
                f"cannot analyse {self.count} volumes of {particles} particles; give 10 or more"
            )
            raise CryoswayError(message)
        if self.clusters is not None and not 1 <= self.clusters <= self.count // 3:
            message = (
                f"cannot make {self.clusters} clusters of {self.count} volumes, at least 3 each; "
                f"give 1 to {self.count // 3}"
            )
            raise CryoswayError(message)


def write_volume_space(
    job: Job, folder: Path, axes: PrincipalAxes, options: VolumeOptions
) -> dict[str, Any]:
    """Analyse the landscape by its volumes, as ``cryodrgn analyze_landscape`` and ``_full`` do.

    Volumes at the particles nearest to k-means centres are sampled with 48 voxels a side at most,
    low-passed to two of these and masked; principal components and agglomerative clusters of them
    are found; and every particle is placed among them by a regression on its latent, whose error is
    told. Adds columns ``vpc1``…, ``volume_cluster`` to ``particles.parquet``, writes
    ``volume_space.json``, and the map of the most typical volume of each cluster. Volumes are kept
    in ``landscape_volumes.safetensors``; an interrupted call goes on where it was.

    Parameters
    ----------
    job : Job
        Gives maps at latents.
    folder : Path
        The job's folder, locked.
    axes : PrincipalAxes
        Of the job's latents.
    options : VolumeOptions
        How many volumes, and how they are clustered.

    Returns
    -------
    dict
        The content of ``volume_space.json``.

    Raises
    ------
    CryoswayError
        When there are fewer particles than volumes, fewer than 10 volumes, or too many clusters.
    """
    coordinates = axes.project(job.latents)
    options.check(len(coordinates))
    rows = choose_particles(coordinates, options.count, seed=options.seed)
    sketch = _Sketch(job, folder, rows)
    voxels = sketch.make()
    space = analyse_volumes(voxels, clusters=options.clusters, linkage=options.linkage)
    mapping = fit_mapping(coordinates[rows], space.scores)
    scores = mapping(coordinates)
    clusters = space.clusters[assign_nearest(scores, space.scores.astype(np.float32))]
    _write_columns(folder, scores, clusters)
    told = _describe_clusters(space, clusters, rows)
    summary = {
        "volumes": options.count,
        "box": sketch.box,
        "low_pass_angstrom": sketch.finish.low_pass,
        "voxels_in_mask": voxels.shape[1],
        "explained_variance": space.explained,
        "mapping": {"kind": "kernel ridge regression", "r_squared_left_out": mapping.r_squared},
        "linkage": options.linkage,
        "clusters": told,
        "sketch": {"particle": rows, "cluster": space.clusters, "scores": space.scores.round(4)},
    }
    write_json(folder / SUMMARY_NAME, summary)
    write_maps(job, folder, list(_plan_maps(job, axes, told)), kinds=(MAP_KIND,))
    note_decisions(folder, [_explain_clusters(options, len(told))])
    return summary


def choose_particles(coordinates: FloatArray, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose particles spread over the landscape: those nearest to k-means centres, (count,)."""
    from scipy.spatial import cKDTree
    from sklearn.cluster import MiniBatchKMeans

    step = max(1, -(-len(coordinates) // _FIT_AT_MOST))
    sample = coordinates[::step]
    found = MiniBatchKMeans(count, n_init=1, random_state=seed, batch_size=4096).fit(sample)
    _, near = cKDTree(sample).query(found.cluster_centers_)
    rows = np.unique(np.asarray(near)) * step
    spare = np.setdiff1d(np.arange(0, len(coordinates), step), rows)
    rest = np.random.default_rng(seed).permutation(spare)[: count - len(rows)]
    return np.sort(np.concatenate([rows, rest])).astype(np.int64)


@final
class _Sketch:
    """Voxels within the mask of volumes at some particles, made one by one and kept."""

    def __init__(self, job: Job, folder: Path, rows: NDArray[np.int64]) -> None:
        self.job, self.rows = job, rows
        self.box = min(BOX, job.box)
        finest = FINEST_VOXELS * job.pixel_size * job.box / self.box
        self.finish = MapFinish(box=self.box, low_pass=finest)
        self._path = folder / SKETCH_NAME
        key = f"{fingerprint_model(job.main.path)} {self.finish} {rows.tolist()}"
        self._key = hashlib.sha256(key.encode()).hexdigest()

    def make(self) -> NDArray[np.float32]:
        """Give the voxels, shape (n, V), and go on where an earlier call stopped."""
        whole = self._load()
        saved = time.monotonic()
        latents = self.job.latents
        with Progress(len(self.rows), "volumes of the landscape", done=len(whole)) as progress:
            for row in self.rows[len(whole) :]:
                density = self.job.volume(latents[row])
                whole.append(self.finish.apply(density, self.job.pixel_size).astype(np.float16))
                progress.advance()
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self._save(whole)
                    saved = time.monotonic()
        self._save(whole)
        volumes = np.stack(whole)
        inside = self._find_mask(volumes.mean(axis=0, dtype=np.float32)) > 0.5
        return np.asarray(volumes[:, inside], np.float32)

    def _find_mask(self, mean: FloatArray) -> FloatArray:
        """Take the job's mask, sampled alike, or make one of the mean volume."""
        for entry in self.job.volumes:
            path = self.job.main.path / "volumes" / entry["file"]
            if entry["kind"] == "mask" and path.exists():
                mask = read_map(path)[0]
                return MapFinish(box=self.box).apply(mask, self.job.pixel_size)
        pixel_size = self.finish.pixel_size(self.job.box, self.job.pixel_size)
        mask = make_solvent_mask(mean, pixel_size)
        return mask if (mask > 0.5).any() else np.ones_like(mask)

    def _load(self) -> list[NDArray[np.float16]]:
        if not self._path.exists():
            return []
        tensors, meta = load_tensors(self._path)
        return list(tensors["volumes"]) if meta.get("key") == self._key else []

    def _save(self, whole: list[NDArray[np.float16]]) -> None:
        save_tensors(self._path, {"volumes": np.stack(whole)}, {"key": self._key})


def _write_columns(folder: Path, scores: FloatArray, clusters: NDArray[np.int64]) -> None:
    path = folder / "particles.parquet"
    table = read_table(path)
    stale = [str(name) for name in table if str(name).startswith("vpc")]
    table = table.drop(columns=stale)
    for number, column in enumerate(scores.T, start=1):
        table[f"vpc{number}"] = column
    table["volume_cluster"] = clusters.astype(np.int32)
    write_table(path, table)


def _describe_clusters(
    space: VolumeSpace, assigned: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Tell of each cluster how many particles it has, and which particle's volume is typical."""
    return [
        {
            "cluster": number,
            "volumes": int((space.clusters == number).sum()),
            "population": int((assigned == number).sum()),
            "typical_particle": int(rows[medoid]),
        }
        for number, medoid in enumerate(space.medoids, start=1)
    ]


def _plan_maps(job: Job, axes: PrincipalAxes, clusters: list[dict[str, Any]]) -> Any:
    """Ask for the map at the typical particle of each cluster."""
    for entry in clusters:
        number, latent = entry["cluster"], job.latents[entry["typical_particle"]]
        support = count_support(latent, job.latents, job.latent_sd, axes.scale)
        extra = {"volume_cluster": number, "population": entry["population"]}
        name = f"volume_cluster_{number:02d}"
        yield MapRequest(name, MAP_KIND, f"volume cluster {number}", latent, support, extra)


def _explain_clusters(options: VolumeOptions, count: int) -> dict[str, Any]:
    """Say why there are so many clusters of volumes."""
    why = "the number that parts the volumes best, by their mean silhouette"
    if count == 1:
        why = f"no number of clusters parts the volumes: mean silhouette under {NO_STRUCTURE}"
    if options.clusters is not None:
        why = "as the user said"
        if count < options.clusters:
            why = f"{options.clusters} were asked for, but no more hold enough volumes"
    return {"what": "number of clusters of volumes", "value": count, "why": why}
