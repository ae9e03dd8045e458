"""Options of the commands about the landscape."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cryosway.engine import Options
from cryosway.methods._options import SEED

PARTICLES: Any = Field(
    None, description="file that the job was made from; default: where job.json says that it is"
)
IMAGES_DIR: Any = Field(None, description="folder of the image stacks, or one stack")


class LandscapeOptions(Options):
    """Options of `landscape`."""

    clusters: int | None = Field(
        None, description="number of k-means clusters; default: one per 200 particles, 2 to 8"
    )
    umap: bool = Field(True, description="embed by UMAP (extra: embed)")
    directions: int | None = Field(
        None, description="directions to walk along; default: those that stand out from noise"
    )
    path_points: int = Field(7, description="maps along each direction")
    volumes: int | None = Field(
        None, description="also compare so many volumes over the landscape voxel by voxel, and "
        "place every particle among them; some hundred are enough"
    )  # fmt: skip
    volume_clusters: int | None = Field(
        None, description="number of clusters of these volumes, each with a map of its most "
        "typical one; default: the number, up to 10, that parts them best"
    )  # fmt: skip
    volume_linkage: Literal["average", "ward", "complete"] = Field(
        "average", description="how the distance of two clusters of volumes is measured"
    )
    seed: int = SEED


class SelectOptions(Options):
    """Options of `select`."""

    to: Literal["relion", "cryosparc"] = Field("relion", description="program whose file to write")
    cluster: tuple[int, ...] = Field(
        (), description="particles in any of these clusters of landscape; may be repeated"
    )
    state: tuple[int, ...] = Field(
        (), description="particles in any of these states of states; may be repeated"
    )
    interval: tuple[str, ...] = Field(
        (),
        description="particles with a column of particles.parquet between two values, as z1=-1:0.5 "
        "or contrast=0.5: (one end open); may be repeated",
    )
    index: tuple[Path, ...] = Field(
        (), description="particles at these rows of particles.parquet, from 0: .npy, .txt or .pkl; "
        "may be repeated"
    )  # fmt: skip
    query: str | None = Field(
        None, description="particles for which this holds, as 'contrast > 0.8 and cluster == 2'"
    )
    combine: Literal["and", "or"] = Field(
        "and", description="whether all of these must hold, or any"
    )
    invert: bool = Field(False, description="take the particles for which it does not hold")
    outliers: Literal["keep", "drop", "only"] = Field(
        "keep", description="keep them, drop them, or take them only; they are always named"
    )
    maps: bool = Field(False, description="also backproject the selected particles, in half-sets")
    particles: Path | None = PARTICLES
    images_dir: Path | None = IMAGES_DIR


class StatesOptions(Options):
    """Options of `states`."""

    coordinates: int | None = Field(
        None, ge=1, le=6, description="leading principal directions in which states are looked "
        "for; default: those that stand out from noise, 4 at most"
    )  # fmt: skip
    most_states: int | None = Field(
        None, ge=1, description="most components of the mixture; default: 16, and 1 where the "
        "particles were found homogeneous and no --coordinates are given"
    )  # fmt: skip
    choose: Literal["bic", "held-out"] = Field(
        "bic", description="what chooses their number: Schwarz's criterion, or the likelihood of "
        "one half-set under the other's mixture"
    )  # fmt: skip
    barrier: float = Field(
        1.0, ge=0, description="components with a lower barrier between them, kT, are one state"
    )
    interval: tuple[str, ...] = Field(
        (), description="also the population of an interval along a principal direction, as "
        "pc1=-2:0.5; may be repeated"
    )  # fmt: skip
    coverage: float = Field(0.9, gt=0, lt=1, description="of the intervals")
    density_clusters: bool = Field(True, description="also find clusters by density (HDBSCAN)")
    maps: bool = Field(True, description="write a map, and half-maps, of every state")
    seed: int = SEED


class PathOptions(Options):
    """Options of `write_path`."""

    by: Literal["straight", "graph", "energy", "pc", "points"] = Field(
        "straight", description="how to go: straight; from particle to particle; over the lowest "
        "passes of the free energy; along a principal direction; through given points"
    )  # fmt: skip
    points: int = Field(10, ge=2, description="maps along the path")
    direction: int = Field(1, ge=1, description="principal direction, with --by pc")
    maps: bool = Field(True, description="write the maps, not only where they are")
