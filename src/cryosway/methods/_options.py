"""The options of every method, once: for Python, job.json, the command line and its help.

This file stays light (no torch, no NumPy), since the command line shows it as help.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cryosway.engine import Options

Mask = Literal["auto", "none"] | Path
Contrast = Literal["auto", "white", "dark"]
CONTRAST: Any = Field(
    "auto", description="what the protein is in the images; auto: as stated, else detected"
)
SEED: Any = Field(0, ge=0, description="every random number follows from it")
MASK: Any = Field(
    "auto",
    description="soft solvent mask: auto (made from the data), none, or a map file from 0 to 1",
)
NULL_TESTS: Any = Field(
    3, description="simulated homogeneous copies of the data to compare with: 0, or 2 and more"
)


def _check_null_tests(count: int) -> int:
    if count < 0 or count == 1:
        msg = f"null_tests is {count}, but a spread needs two: give 0, or 2 and more"
        raise ValueError(msg)
    return count


NullTests = Annotated[int, AfterValidator(_check_null_tests)]


class InspectOptions(Options):
    """Options of `inspect`."""

    images: int = Field(5_000, ge=10, description="most images to read, evenly spaced")
    box: int = Field(64, ge=16, description="size of the quick map, pixels")
    seed: int = SEED


class PrepareOptions(Options):
    """Options of `prepare`."""

    crop: int | None = Field(
        None,
        description="pixels to keep about the shifted centre before downsampling; default: all",
    )
    box: int | None = Field(None, description="pixels of the result, even; default: as the images")
    pixel_size: float | None = Field(
        None, description="Å per pixel of the result, instead of the box (rounded to even)"
    )
    contrast: Literal["auto", "white", "dark"] = Field(
        "auto", description="what the protein is in the images; dark ones are inverted"
    )
    window: bool = Field(True, description="fade images out towards the edge")
    normalise: bool = Field(True, description="background rings to mean 0 and variance 1")
    whiten: bool = Field(False, description="divide by the noise amplitude of each shell")
    dtype: Literal["float16", "float32"] = Field("float16", description="of the written stack")
    batch: int | None = Field(None, description="images at a time; default: about 32 MB")


class BackprojectOptions(Options):
    """Options of `backproject`."""

    contrast: Contrast = CONTRAST
    mask: Mask = MASK
    weights: Path | None = Field(
        None,
        description="weight of every particle, 0 to leave it out: .npy, .txt, or a table (.csv, "
        ".parquet) with columns index and weight",
    )
    max_resolution: float | None = Field(
        None, gt=0, description="finest resolution to use, Å; default: the pixel size allows"
    )
    local_resolution: bool = Field(True, description="estimate the resolution of every region")
    seed: int = SEED


class LinearOptions(Options):
    """Options of `linear`."""

    components: Literal["auto"] | int = Field(
        "auto", description="number of components; auto: as many as stand out from noise"
    )
    iterations: int = Field(10, ge=2, description="most steps of the first, coarsest stage")
    fit_box: Literal["auto"] | int = Field(
        "auto", description="box in which components are fitted, pixels; maps keep the full box"
    )
    mask: Mask = MASK
    contrast: bool = Field(True, description="fit the contrast of every particle")
    null_tests: NullTests = NULL_TESTS
    seed: int = SEED


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
    seed: int = SEED


class ReportOptions(Options):
    """`report` has no options."""


class RunOptions(Options):
    """Options of `run`."""

    box: Literal["auto"] | int = Field(
        "auto", description="box to downsample to, pixels; auto: by the attainable resolution"
    )
    crop: int | None = Field(
        None, ge=16, description="pixels to keep about the shifted centre first; default: all"
    )
    contrast: Contrast = CONTRAST
    components: Literal["auto"] | int = Field(
        "auto", description="number of components; auto: as many as stand out from noise"
    )
    mask: Mask = MASK
    null_tests: NullTests = NULL_TESTS
    clusters: int | None = Field(None, ge=1, description="number of clusters; default: by size")
    directions: int | None = Field(
        None, ge=0, description="directions to walk along; default: those that stand out from noise"
    )
    umap: bool = Field(True, description="embed the latents by UMAP")
    seed: int = SEED


class DemoOptions(Options):
    """Options of `demo`."""

    images: int = Field(4_000, ge=100, description="number of simulated images")
    box: int = Field(64, ge=32, description="image size, pixels")
    snr: float = Field(0.05, gt=0, description="variance of the signal over that of the noise")
    seed: int = SEED
