"""What a simulation needs to know, checked before anything is computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cryosway._errors import CryoswayError

PotentialKind = Literal["molmap", "electron"]
ProjectorKind = Literal["auto", "nufft", "direct", "voxel"]
JunkKind = Literal["noise", "ice", "overlap", "broken"]


class SimulateOptions(BaseModel):
    """Settings of `simulate`; units are in each field's description."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(10_000, ge=1, description="number of particles")
    box: int = Field(64, ge=8, description="image size, pixels, even")
    pixel_size: float = Field(3.0, gt=0, description="Å per pixel")
    snr: float | None = Field(
        0.1,
        gt=0,
        description="variance of the clean images / variance of the noise; None: no noise",
    )
    seed: int = Field(0, ge=0, description="every random number follows from it")

    populations: tuple[float, ...] | None = Field(
        None, description="share of each state; equal where not given; scaled to sum to 1"
    )
    coordinates: tuple[float, ...] | None = Field(
        None, description="reaction coordinate of each state; evenly from 0 to 1 where not given"
    )
    states: int | None = Field(
        None,
        ge=2,
        description="interpolate two structures into this many states, or take as "
        "many frames, evenly spaced, of the trajectory",
    )
    topology: Path | None = Field(
        None, description="PSF, PDB or mmCIF of the trajectory; `states` frames of it are taken"
    )
    chains: tuple[str, ...] | None = Field(None, description="chains to keep; all where not given")
    hydrogens: bool = Field(False, description="keep hydrogens")
    ligands: bool = Field(True, description="keep what is neither polymer nor water")
    superpose: bool = Field(
        True, description="superpose structures and trajectory frames on their mean"
    )

    potential: PotentialKind = Field(
        "molmap",
        description="molmap: Gaussians of weight Z as ChimeraX's molmap; "
        "electron: electron scattering factors with a B factor",
    )
    resolution: float = Field(3.0, gt=0, description="Å, of molmap: sigma = 0.225 × resolution")
    atom_bfactor: float = Field(100.0, ge=0, description="Å², of the electron potential")
    solvent: bool = Field(False, description="electron potential less that of displaced water")
    projector: ProjectorKind = Field(
        "auto",
        description="nufft and direct are exact, voxel rotates a density grid as CryoBench does; "
        "auto: nufft where finufft is installed",
    )

    ctf: bool = Field(
        True,
        description="apply CTF and envelope; else the STAR has zero defocus and Cs and amplitude "
        "contrast 1, whose CTF is 1",
    )
    voltage: float = Field(300.0, gt=0, description="kV")
    cs: float = Field(2.7, ge=0, description="spherical aberration, mm")
    amplitude_contrast: float = Field(0.1, ge=0, le=1, description="fraction of amplitude contrast")
    defocus_min: float = Field(8_000.0, description="Å, underfocus positive")
    defocus_max: float = Field(25_000.0, description="Å")
    astigmatism: float = Field(300.0, ge=0, description="standard deviation of U − V, Å")
    envelope_bfactor: float = Field(
        100.0,
        ge=0,
        description="Å²: images are damped by exp(−B s²/4), which the STAR does not say",
    )
    scale_sd: float = Field(
        0.0, ge=0, description="standard deviation of the logarithm of each particle's contrast"
    )

    shift: float = Field(0.0, ge=0, description="largest shift along x and y, Å")
    shift_distribution: Literal["uniform", "normal"] = Field(
        "uniform", description="normal: `shift` is the standard deviation"
    )
    view_concentration: float = Field(
        0.0, ge=0, description="concentration of views about the z axis; 0: uniform"
    )
    metadata: Path | None = Field(
        None,
        description="npz with rot (M,3,3), trans_fraction (M,2), ctf (M,9): whole rows are drawn "
        "for views, shifts and CTF",
    )

    noise: Literal["white", "coloured"] | Path = Field(
        "white", description="white, coloured (built-in spectrum) or a JSON file with a spectrum"
    )
    noise_entry: str | None = Field(None, description="which spectrum of the JSON file")
    ice_fraction: float = Field(
        1.0, ge=0, le=1, description="share of the noise above its white floor shaped by CTF²"
    )

    angle_error: float = Field(0.0, ge=0, description="error of written angles, sd per axis, °")
    wrong_pose_fraction: float = Field(0.0, ge=0, le=1, description="written poses drawn at random")
    shift_error: float = Field(0.0, ge=0, description="error of written shifts, sd, pixels")
    defocus_error: float = Field(0.0, ge=0, description="error of written defocus, sd, Å")
    junk_fraction: float = Field(0.0, ge=0, le=1, description="images that hold no good particle")
    junk_kinds: tuple[JunkKind, ...] = Field(
        ("noise", "ice", "overlap", "broken"), min_length=1, description="what junk images show"
    )

    dtype: Literal["float16", "float32"] = Field("float16", description="of the written stack")
    snr_images: int = Field(
        2_000, ge=1, description="particles, evenly spaced, from which the SNR is set"
    )
    threads: int | None = Field(None, ge=1, description="all CPU cores where not given")

    @field_validator("box")
    @classmethod
    def _check_even(cls, box: int) -> int:
        if box % 2:
            msg = f"box must be even, not {box}"
            raise ValueError(msg)
        return box

    @field_validator("populations")
    @classmethod
    def _check_populations(cls, populations: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if populations is not None and (min(populations) < 0 or sum(populations) <= 0):
            msg = "populations must be non-negative and not all zero"
            raise ValueError(msg)
        return populations

    @model_validator(mode="after")
    def _check_defocus(self) -> Self:
        if self.defocus_max < self.defocus_min:
            msg = f"defocus_max ({self.defocus_max:g}) is below defocus_min ({self.defocus_min:g})"
            raise ValueError(msg)
        return self

    @classmethod
    def check(cls, settings: "Mapping[str, Any]") -> "SimulateOptions":
        """Build options, with every problem said in one `CryoswayError`."""
        try:
            return cls(**settings)
        except ValidationError as error:
            problems = "; ".join(_say(problem) for problem in error.errors())
            msg = f"simulate: {problems}"
            raise CryoswayError(msg) from None


def _say(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(SimulateOptions.model_fields)
        return f"there is no option {name!r}; the options are {known}"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{name} = {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
