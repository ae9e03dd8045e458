"""Options of the benchmark's commands; light, since the command line shows them as help."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cryosway.engine import Options

SCORED: Any = Field(100, ge=1, description="images whose maps are scored, evenly spaced")
ALIGN: Any = Field(
    "none",
    description="bring maps into the frame of the truth: frame: by one turn and shift, found from "
    "their mean; each: and then every map by itself; for programs that find poses themselves",
)


Kind = Literal["hinge", "linker", "assembly", "unrelated", "kinase"]
Variant = Literal["clean", "poses", "views", "junk"]
Method = Literal["backproject", "linear", "vae", "autodecoder", "structural"]
Prior = Literal["right", "missing", "turned"]


class BenchMakeOptions(Options):
    """Options of `bench_make`."""

    kind: tuple[Kind, ...] = Field(
        ("hinge", "linker", "assembly", "unrelated", "kinase"),
        min_length=1,
        description="what to simulate: an arm that turns full circle (hinge), one on a random "
        "chain (linker), sixteen unequal states of an assembly, many unrelated structures, or "
        "adenylate kinase from closed to open; may be repeated",
    )
    snr: tuple[float, ...] = Field(
        (0.1,),
        min_length=1,
        description="variance of the clean images over that of the noise; may be repeated",
    )
    variant: tuple[Variant, ...] = Field(
        ("clean",),
        min_length=1,
        description="clean, or what is wrong with the particles: poses (5° and one pixel off), "
        "views (three quarters of them within 60° of one axis), junk (a fifth of the images); may "
        "be repeated",
    )
    images: int = Field(10_000, ge=1, description="images of each set")
    box: int = Field(64, ge=8, description="size of the images, pixels, even")
    pixel_size: float | None = Field(
        None, gt=0, description="Å per pixel; default: so that the molecule fills 84 % of the box"
    )
    states: int | None = Field(
        None, ge=2, description="states; default: 100, of kinase 25; an assembly has sixteen"
    )
    structures: Path | None = Field(
        None,
        description="folder of mmCIF or PDB files for unrelated; default: made-up bundles of "
        "helices",
    )
    seed: int = Field(0, ge=0, description="every random number follows from it")


class BenchRunOptions(Options):
    """Options of `bench_run`."""

    method: tuple[Method, ...] = Field(
        ("backproject", "linear", "vae"),
        description="methods of ours to run; may be repeated",
    )
    prior: tuple[Prior, ...] = Field(
        ("right",),
        description="model that structural starts from: right, or wrong on purpose: the moving "
        "part missing, or turned by 40°; may be repeated",
    )
    cryodrgn: Path | None = Field(
        None, description="environment with cryoDRGN (bin/cryodrgn), to run train_vae as well"
    )
    peer: tuple[str, ...] = Field(
        (),
        description="NAME=PROGRAM: another program to run; it is called with the set's folder and "
        "one to fill in the layout of docs/bench.md; may be repeated",
    )
    option: tuple[str, ...] = Field(
        (),
        description="METHOD:NAME=VALUE: an option of a method, as vae:epochs=5 or "
        "cryodrgn:zdim=4; may be repeated",
    )
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="seeds to run everything with; may be repeated"
    )
    scored: int = SCORED


class BenchScoreOptions(Options):
    """Options of `bench_score`."""

    scored: int = SCORED
    align: Literal["none", "frame", "each"] = ALIGN
    mask: Literal["auto", "union"] | Path = Field(
        "auto",
        description="scoring mask: auto: the one that comes with the set, else union: around all "
        "true states; or a map file",
    )
    true_latents: Path | None = Field(
        None, description="true latents, a row per state or image, instead of the set's own"
    )
    clusters: int | None = Field(
        None, ge=2, description="classes that latents are cut into; default: as many as states"
    )
    name: str | None = Field(None, description="of the result in tables; default: its folder's")
    seed: int = Field(0, ge=0, description="every random number follows from it")
