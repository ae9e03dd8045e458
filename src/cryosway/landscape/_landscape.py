"""The public call: read a job's latents, write what they say into its folder."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import (
    FolderLock,
    clear_leftovers,
    explain_os_errors,
    read_table,
    write_json,
    write_table,
)
from cryosway.jobs import Job, Verdict, open_job, read_verdict
from cryosway.landscape._clusters import Clusters, choose_cluster_count, cluster_particles
from cryosway.landscape._coordinates import PrincipalAxes, fit_principal_axes
from cryosway.landscape._density import count_support, find_extent, smooth_histogram
from cryosway.landscape._embedding import embed_umap
from cryosway.landscape._kept import keep_stage
from cryosway.landscape._latents import count_real_directions, note_decisions, read_latents
from cryosway.landscape._map_files import MapRequest, write_maps
from cryosway.landscape._paths import Traversal, trace_direction
from cryosway.landscape._volume_clusters import Linkage
from cryosway.landscape._volume_sketch import VolumeOptions, write_volume_space

FloatArray = NDArray[np.floating]
MOST_DIRECTIONS = 3
DENSITY_BINS = 64


@dataclass(frozen=True)
class LandscapeOptions:
    """What the user asked for, resolved.

    Attributes
    ----------
    clusters : int
        Number of clusters.
    umap : bool
        Whether to embed by UMAP.
    directions : int
        Principal directions to walk along.
    path_points : int
        Maps along each.
    seed : int
        Seed of k-means and UMAP.
    """

    clusters: int
    umap: bool
    directions: int
    path_points: int
    seed: int


def landscape(
    job: Job | str | Path,
    *,
    clusters: int | None = None,
    umap: bool = True,
    directions: int | None = None,
    path_points: int = 7,
    volumes: int | None = None,
    volume_clusters: int | None = None,
    volume_linkage: Linkage = "average",
    seed: int = 0,
) -> Job:
    """Describe the conformational landscape of a job with latents.

    Adds columns ``pc1``…, ``cluster``, ``umap1``, ``umap2`` to ``particles.parquet``; maps at
    cluster centres and along principal directions (5th to 95th percentile) to ``volumes/``; and
    ``landscape.json``. What stands from an earlier or interrupted call is not made again.

    Parameters
    ----------
    job : Job or path
        Any job whose particles have latents.
    clusters : int, optional
        Number of k-means clusters; by default one per 200 particles, from 2 to 8, and 1 where
        the particles were found homogeneous, by the latest `validate` beside the job or else by
        the job.
    umap : bool
        Whether to embed by UMAP (needs ``pip install cryosway[embed]``; skipped, with a warning,
        where that is missing).
    directions : int, optional
        Principal directions to walk along; by default those that stand out from noise, 1 to 3,
        and 0 where the particles were found homogeneous.
    path_points : int
        Maps along each direction.
    volumes : int, optional
        So many volumes over the landscape are compared voxel by voxel, too, and every particle is
        placed among them (see ``volume_space.json``); some hundred are enough.
    volume_clusters : int, optional
        Clusters of these volumes, each with a map of its most typical one; by default the number
        that parts them best.
    volume_linkage : str
        How these clusters' distances are measured: ``average``, ``ward`` or ``complete``.
    seed : int
        Same seed, same answer.

    Returns
    -------
    Job
        The job, opened again.

    Raises
    ------
    CryoswayError
        When the job has no latents, or cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.landscape("job2", clusters=4)  # doctest: +SKIP
    """
    job = open_job(job)
    folder = job.main.path
    latents, latent_sd = read_latents(job)
    verdict = read_verdict(job)
    options = _resolve(job, verdict, clusters, directions, path_points, umap=umap, seed=seed)
    sketch = None
    if volumes is not None:
        sketch = VolumeOptions(volumes, volume_clusters, volume_linkage, seed)
        sketch.check(len(latents))
    with explain_os_errors(folder), FolderLock(folder):
        clear_leftovers(folder)
        axes = fit_principal_axes(latents, latent_sd)
        coordinates = axes.project(latents)
        groups = _find_clusters(folder, coordinates, options)
        embedding = _embed(folder, coordinates, seed) if options.umap else None
        paths = [
            trace_direction(coordinates, number, options.path_points)
            for number in range(1, options.directions + 1)
        ]
        _write_columns(folder, coordinates, groups, embedding)
        requests = _plan_maps(axes, groups, paths, latents, latent_sd)
        write_maps(job, folder, requests)
        _write_summary(folder, axes, groups, paths, options)
        _note_decisions(folder, options, _explain_choices(verdict, clusters, directions))
        if sketch:
            write_volume_space(job.main, folder, axes, sketch)
    return open_job(job.path)


def _resolve(
    job: Job, verdict: Verdict, clusters: int | None, directions: int | None, path_points: int,
    *, umap: bool, seed: int,
) -> LandscapeOptions:  # fmt: skip
    """Replace what was left open by defaults, and check what was given."""
    count, latent_dimensions = job.latents.shape
    if clusters is None:
        clusters = 1 if verdict.homogeneous else choose_cluster_count(count)
    if not 1 <= clusters <= count:
        message = f"cannot make {clusters} clusters of {count} particles; give 1 to {count}"
        raise CryoswayError(message)
    if directions is None:
        real = count_real_directions(job, verdict, MOST_DIRECTIONS)
        directions = 0 if verdict.homogeneous else real
    if path_points < 2:
        message = f"path_points is {path_points}, but a traversal needs at least 2"
        raise CryoswayError(message)
    directions = min(directions, latent_dimensions)
    return LandscapeOptions(clusters, umap and count > 3, directions, path_points, seed)


def _find_clusters(folder: Path, coordinates: FloatArray, options: LandscapeOptions) -> Clusters:
    key = (coordinates, options.clusters, options.seed)
    return Clusters(
        **keep_stage(
            folder, "k-means clusters", key,
            lambda: vars(cluster_particles(*key[:2], seed=options.seed)),
        )
    )  # fmt: skip


def _embed(folder: Path, coordinates: FloatArray, seed: int) -> FloatArray | None:
    """Embed by UMAP where it is installed; an embedding of the same latents is kept."""
    try:
        kept = keep_stage(
            folder, "UMAP", (coordinates, seed), lambda: {"xy": embed_umap(coordinates, seed=seed)}
        )
    except CryoswayError as error:
        warnings.warn(f"no UMAP embedding was made: {error}", CryoswayWarning, stacklevel=3)
        return None
    return np.asarray(kept["xy"])


def _write_columns(
    folder: Path, coordinates: FloatArray, groups: Clusters, embedding: FloatArray | None
) -> None:
    """Add the new columns to particles.parquet."""
    path = folder / "particles.parquet"
    table = read_table(path)
    stale = [name for name in map(str, table) if name.startswith("pc") and name[2:].isdigit()]
    table = table.drop(columns=[*stale, *(table.columns.intersection(["umap1", "umap2"]))])
    new: dict[str, Any] = {
        f"pc{number}": column for number, column in enumerate(coordinates.T, start=1)
    }
    new["cluster"] = groups.labels
    if embedding is not None:
        new |= {"umap1": embedding[:, 0], "umap2": embedding[:, 1]}
    table = table.drop(columns="cluster", errors="ignore")
    added = pd.DataFrame(new, index=table.index)
    write_table(path, pd.concat([table, added], axis=1))


def _plan_maps(
    axes: PrincipalAxes,
    groups: Clusters,
    paths: Sequence[Traversal],
    latents: FloatArray,
    latent_sd: FloatArray | None,
) -> list[MapRequest]:
    def support(latent: FloatArray) -> float:
        return count_support(latent, latents, latent_sd, axes.scale)

    requests = []
    for number, centre in enumerate(axes.lift(groups.centres), start=1):
        population = int(groups.populations[number - 1])
        requests.append(
            MapRequest(
                f"cluster_{number:02d}", "cluster", f"cluster {number}", centre, support(centre),
                {"cluster": number, "population": population},
            )
        )  # fmt: skip
    for path in paths:
        points = zip(path.positions, axes.lift(path.coordinates), strict=True)
        for number, (position, latent) in enumerate(points, start=1):
            name = f"path_pc{path.direction}_{number:02d}"
            label = f"direction {path.direction}, point {number} of {len(path.positions)}"
            extra = {"direction": path.direction, "point": number, "position": float(position)}
            requests.append(MapRequest(name, "path", label, latent, support(latent), extra))
    return requests


def _write_summary(
    folder: Path,
    axes: PrincipalAxes,
    groups: Clusters,
    paths: Sequence[Traversal],
    options: LandscapeOptions,
) -> None:
    """Write landscape.json: axes, clusters, paths and the density in the first two directions."""
    summary = {
        "options": asdict(options),
        "axes": asdict(axes),
        "clusters": [
            {"cluster": number, "population": int(population), "centre": centre}
            for number, (population, centre) in enumerate(
                zip(groups.populations, groups.centres, strict=True), start=1
            )
        ],
        "paths": [asdict(path) for path in paths],
        "density": _grid_density(read_table(folder / "particles.parquet")),
    }
    write_json(folder / "landscape.json", summary)


def _grid_density(table: pd.DataFrame) -> dict[str, Any] | None:
    if "pc2" not in table:
        return None
    x, y = table["pc1"].to_numpy(), table["pc2"].to_numpy()
    extent = find_extent(x, y)
    density = smooth_histogram(x, y, extent, bins=DENSITY_BINS)
    return {"extent": extent, "particles_per_cell": np.round(density, 4)}


def _note_decisions(folder: Path, options: LandscapeOptions, whys: Sequence[str]) -> None:
    """Tell in decisions.json what was chosen, in sentences that the report shows."""
    names = ("number of clusters", "directions traversed")
    values = (options.clusters, options.directions)
    note_decisions(
        folder,
        [
            {"what": name, "value": value, "why": why}
            for name, value, why in zip(names, values, whys, strict=True)
        ],
    )


def _explain_choices(verdict: Verdict, clusters: int | None, directions: int | None) -> list[str]:
    """Say why there are so many clusters, and so many directions."""
    usual = (
        "the number of clusters only divides the landscape for viewing; it is not a finding",
        "maps are drawn along the directions that stand out from noise, three at most",
    )
    if verdict.homogeneous:
        usual = ("the particles were found homogeneous",) * 2
    asked = (clusters is not None, directions is not None)
    return ["as the user said" if given else why for given, why in zip(asked, usual, strict=True)]
