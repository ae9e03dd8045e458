"""The options of every method, once: for Python, job.json, the command line and its help.

This file stays light (no torch, no NumPy), since the command line shows it as help.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cryosway.engine import Options
from cryosway.methods._protein.fold_options import ALIGNMENTS, DATABASE, FETCH, Engine

Mask = Literal["auto", "none"] | Path
Contrast = Literal["auto", "white", "dark"]
Confidence = Literal["auto", "none"] | Path
Models = Literal["first", "all"]
CONFIDENCE: Any = Field(
    "auto",
    description="predicted aligned error of the model (JSON, NPZ): what it is unsure of is held "
    "loosely, and not docked; auto: of a prediction, the file beside it; or none",
)
MODELS: Any = Field(
    "first",
    description="which models of the file: the first; or all, of an assembly whose copies are "
    "models of one file (the chains of model 2 are then A-2, B-2, ...)",
)
CONTRAST: Any = Field(
    "auto", description="what the protein is in the images; auto: as stated, else detected"
)
SEED: Any = Field(0, ge=0, description="every random number follows from it")
MASK: Any = Field(
    "auto",
    description="soft solvent mask: auto (made from the data), none, or a map file from 0 to 1",
)
NULL_TESTS: Any = Field(
    3,
    description="simulated homogeneous copies of the data to compare with: 0, or 2 and more; 2 "
    "leave undecided what is less than fifty times noise",
)


def _check_null_tests(count: int) -> int:
    if count < 0 or count == 1:
        msg = f"null_tests is {count}, but a spread needs two: give 0, or 2 and more"
        raise ValueError(msg)
    return count


NullTests = Annotated[int, AfterValidator(_check_null_tests)]


def _check_copies(copies: tuple[Any, ...]) -> tuple[Any, ...]:
    if not copies or any(count != "auto" and count < 1 for count in copies):
        msg = f"copies are {copies}; give whole numbers from 1, or auto"
        raise ValueError(msg)
    return copies


Copies = Annotated[tuple[Literal["auto"] | int, ...], AfterValidator(_check_copies)]


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
    pose_errors: Literal["auto", "none"] = Field(
        "auto",
        description="auto: the error of the poses is measured, kept out of the components, and "
        "corrected where there is one; none: poses are exact",
    )
    null_tests: NullTests = NULL_TESTS
    seed: int = SEED


class NeuralOptions(Options):
    """Options that `vae` and `autodecoder` share."""

    latent_dim: int = Field(10, ge=1, description="numbers that describe a particle's conformation")
    epochs: int = Field(20, ge=1, description="passes over the particles")
    batch_size: int = Field(16, ge=1, description="particles per step, of all processes together")
    learning_rate: float = Field(1e-3, gt=0, description="of the networks, at its peak")
    start: Literal["linear", "mean", "random"] = Field(
        "linear",
        description="what the network adds to: mean, components and maps of linear, with its "
        "latents; the mean map; or nothing (all is learnt by the network)",
    )
    linear: Path | None = Field(
        None, description="job of cryosway linear on these particles; default: fitted in OUT/linear"
    )
    maps: int = Field(
        64,
        ge=0,
        description="maps of linear, spread over its landscape, from which the network starts; 0: "
        "from its mean and components alone",
    )
    width: int = Field(256, ge=8, description="units of the decoder's layers")
    layers: int = Field(3, ge=0, description="residual layers of the decoder")
    domain: Literal["anchored", "hartley", "fourier"] = Field(
        "anchored", description="how the decoder keeps the symmetry of a real density"
    )
    encoding: Literal[
        "gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf", "none"
    ] = Field("gaussian", description="positional encoding of Fourier coordinates")
    encoding_dim: int | None = Field(
        None, ge=1, description="waves of the encoding per axis; default: half the box"
    )
    feature_sigma: float = Field(0.5, gt=0, description="spread of the Gaussian encoding, in D/2")
    conditioning: Literal["modulate", "concatenate"] = Field(
        "modulate", description="how the latent enters: in every layer, or in the first"
    )
    beta: float = Field(
        1.0, ge=0, description="weight of the latents' prior; 1 is the evidence lower bound"
    )
    beta_warmup: float = Field(0.0, ge=0, description="epochs over which beta grows from 0")
    contrast: bool = Field(True, description="fit the contrast of every particle")
    refine_poses: bool = Field(False, description="refine rotations and shifts by gradient")
    pose_warmup: int = Field(2, ge=0, description="epochs before poses are refined")
    pose_rate: float = Field(
        20.0, gt=0, description="learning rate of poses (in pixels), over that of the network"
    )
    pose_sd: float = Field(
        1.0,
        gt=0,
        description="expected error of the poses, pixels: of shifts, and of what rotations move at "
        "a quarter of the box",
    )
    held_out: float = Field(
        0.1,
        ge=0,
        lt=0.9,
        description="share of particles kept from training: half of them say how much of what the "
        "network adds is more than noise, the other half judge it",
    )
    mask: Mask = MASK
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="of matrix products; auto: bf16 where the device has arithmetic for it"
    )
    compile: bool = Field(False, description="let torch.compile fuse the step")
    time_limit: float | None = Field(
        None, gt=0, description="minutes after which to stop; the same command goes on"
    )
    loader_threads: int = Field(1, ge=0, description="threads that read ahead")
    image_memory: float | None = Field(
        None,
        ge=0,
        description="GB of memory in which all images are kept between epochs, where they fit (on "
        "a GPU that has room they are kept there), else read in every epoch; default: a quarter of "
        "what is free",
    )
    seed: int = SEED


class VaeOptions(NeuralOptions):
    """Options of `vae`."""

    encoder: Literal["mlp", "conv"] = Field("mlp", description="kind of encoder")
    encoder_width: int = Field(256, ge=8, description="units of the encoder's layers")
    encoder_layers: int = Field(3, ge=0, description="residual layers of the encoder")
    encoder_box: Literal["auto"] | int = Field(
        "auto", description="size of the images that it sees, pixels; auto: 64 at most"
    )
    correction: Literal["wiener", "flip"] = Field(
        "wiener", description="how the CTF is undone in what the encoder sees"
    )


class AutodecoderOptions(NeuralOptions):
    """Options of `autodecoder`."""

    latent_rate: float = Field(
        20.0, gt=0, description="learning rate of the latents, over that of the network"
    )


class StructuralOptions(Options):
    """Options of `structural`."""

    model: Path = Field(description="atomic model that lies in the consensus map: mmCIF or PDB")
    models: Models = MODELS
    latent_dim: int = Field(3, ge=1, description="numbers that describe a particle's conformation")
    epochs: int = Field(18, ge=1, description="passes over the particles")
    batch_size: int = Field(32, ge=1, description="particles per step")
    learning_rate: float = Field(1e-2, gt=0, description="of the decoder, at its peak")
    latent: Literal["table", "encoder"] = Field(
        "table",
        description="how latents follow from images: each by itself, by Gauss-Newton steps; or by "
        "a network",
    )
    refine_poses: bool = Field(False, description="refine rotations and shifts")
    pose_sd: float = Field(
        1.0,
        gt=0,
        description="expected error of the poses, pixels: of shifts, and of what rotations move at "
        "a quarter of the box",
    )
    decoder: Literal["both", "segments", "field", "mlp", "modes"] = Field(
        "both",
        description="how the latent moves the model: rigid segments and a smooth field, one of "
        "them, every residue by itself, or normal modes alone",
    )
    segments: int = Field(8, ge=1, description="rigid segments")
    fields: int = Field(16, ge=1, description="smooth fields that the latent mixes")
    width: int = Field(64, ge=8, description="units of the decoder's layers")
    linear: Path | None = Field(
        None,
        description="job of cryosway linear on these particles whose latents and poses to start "
        "from; default: motion along normal modes",
    )
    modes: int = Field(24, ge=1, description="normal modes to start from")
    rounds: int = Field(
        2, ge=1, description="linearisations with all normal modes, after some with fewer"
    )
    confidence: Confidence = CONFIDENCE
    elastic_keep: float = Field(
        0.99, gt=0, le=1, description="part of the elastic network that is kept"
    )
    bond_lengths: Literal["reference", "ideal"] = Field(
        "reference",
        description="to which neighbours in a chain are held: as in the model, or ideal (3.8 A "
        "between amino acids), for a model of poor geometry",
    )
    nucleotide_beads: Literal[1, 3] = Field(
        1, description="beads of a nucleotide: one, or three, for phosphate, sugar and base"
    )
    contrast: bool = Field(True, description="fit the contrast of every particle")
    occupancy: Literal["auto", "chains", "none"] = Field(
        "auto",
        description="parts of the model that may be missing in particles: auto (the chains that "
        "images show to be missing in some), chains (all heavy ones), or none",
    )
    occupancy_of: tuple[str, ...] = Field(
        (),
        description="chains or residues that are present or missing together, as B or C,D or "
        "/E:10-60, instead of every chain by itself; may be repeated",
    )
    check_docking: bool = Field(
        True, description="refuse a model that does not lie in the consensus map"
    )
    held_out: float = Field(
        0.0,
        ge=0,
        lt=0.9,
        description="share of particles kept from training, to be judged on; training stops where "
        "they come to be described worse",
    )
    halves: bool = Field(
        True,
        description="fit a model to each half-set too: where they disagree, the model is unsure",
    )
    mask: Mask = MASK
    seed: int = SEED


class DensityOptions(Options):
    """Options of `density`."""

    by: Literal["kernel", "deformed", "network"] = Field(
        "kernel",
        description="kernel: maps at any latent from the particles around it; deformed: one state "
        "from all particles, moved along the model's motion; network: a neural field",
    )
    state: str = Field(
        "reference",
        description="deformed: state to move particles to: reference, state:NUMBER (of states), "
        "cluster:NUMBER (of landscape), particle:ROW, or a latent, as 0.3,-1.2,0",
    )
    iterations: int = Field(
        8, ge=1, description="deformed: most steps of the solver, each a pass over the images"
    )
    region: Mask = Field(
        "auto",
        description="deformed: part of the map whose FSC is told apart: auto (the quarter of the "
        "model that moves most), none, or a map file from 0 to 1",
    )
    clusters: int | None = Field(
        None, ge=1, description="kernel: number of states whose maps are written; default: by size"
    )
    epochs: int = Field(10, ge=1, description="network: passes over the particles")
    mask: Mask = MASK
    seed: int = SEED


class MotionsOptions(Options):
    """Options of `motions`."""

    distance: tuple[tuple[str, str], ...] = Field(
        (),
        description="two groups of residues whose distance is measured in every particle, as "
        "ChimeraX names them: /A:50-60 /A:120-130; may be repeated",
    )
    angle: tuple[tuple[str, str, str], ...] = Field(
        (), description="three groups of residues, the angle at the second; may be repeated"
    )
    domains: Literal["auto"] | int = Field(
        "auto", description="number of rigid domains; auto: as few as explain the motion"
    )
    least_residues: int = Field(20, ge=3, description="residues of a domain at least")
    models: int = Field(
        9, ge=0, description="models along the first direction, a morph for ChimeraX; 0: none"
    )
    seed: int = SEED


class AuditOptions(Options):
    """Options of `audit`."""

    particles: int = Field(
        1_000, ge=10, description="most particles of each control fit, chosen at random"
    )
    epochs: int | None = Field(
        None, ge=1, description="passes over them in each control fit; default: as in the job"
    )
    turn: float = Field(
        20.0, gt=0, le=180, description="degrees by which a domain of the reference is turned"
    )
    region: str | None = Field(
        None,
        description="residues of the domain that is taken away, and turned, as ChimeraX names "
        "them: /A:30-59; default: the domain that moves most",
    )
    seed: int = SEED


class EncodeOptions(Options):
    """Options of `encode`."""

    job: Path = Field(description="job of cryosway vae, structural or import-cryodrgn")


class ImportCryodrgnOptions(Options):
    """Options of `import_cryodrgn`."""

    epoch: int | None = Field(
        None, ge=0, description="epoch of the weights, latents and poses; default: the final ones"
    )
    particles: Path | None = Field(
        None, description="images of the training, if they are not where it says: .star .cs .mrcs"
    )
    poses: Path | None = Field(None, description="poses.pkl, if it is not where training says")
    ctf: Path | None = Field(None, description="ctf.pkl, if it is not where training says")
    images_dir: Path | None = Field(None, description="folder of the image stacks, or one stack")


class ExportOptions(Options):
    """Options of `export`."""

    to: Literal["cryodrgn", "relion", "cryosparc", "chimerax"] = Field(
        description="program whose files to write"
    )
    clusters: tuple[int, ...] = Field(
        (),
        description="only the particles (chimerax: maps) of these clusters of landscape; may be "
        "repeated",
    )
    interval: tuple[tuple[str, float, float], ...] = Field(
        (),
        description="only particles with a column of particles.parquet from a lowest to a highest "
        "value, as z1 -0.5 1 or, of a motions job, distance1 30 40; may be repeated: all must hold",
    )
    rows: Path | None = Field(
        None, description="only these rows of particles.parquet, from 0: .npy, .txt or .pkl"
    )
    particles: Path | None = Field(
        None, description="file that the job was made from; default: where job.json says that it is"
    )
    images_dir: Path | None = Field(None, description="folder of the image stacks, or one stack")


class ReportOptions(Options):
    """Options of `report`."""

    validation: Path | None = Field(
        None, description="folder of its validate; default: the latest beside the job's folder"
    )


class DockOptions(Options):
    """Options of `dock`."""

    search: Literal["global", "local"] = Field(
        "global",
        description="all rotations, shifts and hands; or only fit from where the model is",
    )
    hand: Literal["both", "given"] = Field(
        "both", description="whether to try the mirror of the map as well"
    )
    chains: tuple[str, ...] = Field(
        (), description="only these chains of the model decide; may be repeated; default: all"
    )
    models: Models = MODELS
    copies: Copies = Field(
        (1,),
        description="copies of the models: one number for all, or one for each; auto: as many as "
        "fit; may be repeated",
    )
    resolution: float | None = Field(
        None, gt=0, description="of the search over all rotations, Å; default: by the model's size"
    )
    mask: Mask = Field(
        "auto",
        description="solvent mask, within which density is explained or not: auto (made from the "
        "map), none, or a map file from 0 to 1",
    )
    confidence: Confidence = CONFIDENCE


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
    neural: bool = Field(
        False, description="train a network from the linear latents, and compare the two"
    )
    neural_epochs: int = Field(20, ge=1, description="passes of the network over the particles")
    sequence: Path | None = Field(
        None,
        description="FASTA of the chains: folded, docked into the consensus and followed through "
        "all particles; copies=4 in a header, or a record given 4 times, says how many there are",
    )
    checkpoint: Path | None = Field(
        None, description="weights to fold with, as of cryosway protein fold"
    )
    engine: Engine = Field(
        "esmfold",
        description="what folds: esmfold, esmfold2, trrosetta, or files of other programs",
    )
    alignments: Path | None = ALIGNMENTS
    database: Path | None = DATABASE
    fetch: bool = FETCH
    prediction: tuple[Path, ...] = Field(
        (),
        description="predictions of AlphaFold, ColabFold or Boltz instead of folding: models with "
        "their confidences beside them, or folders of these; may be repeated",
    )
    model: Path | None = Field(
        None, description="atomic model to dock and follow instead, as a deposited one: mmCIF, PDB"
    )
    confidence: Confidence = CONFIDENCE
    structural_epochs: int = Field(
        18, ge=1, description="passes of the atomic model over the particles"
    )
    audit: bool = Field(
        False,
        description="check in the end how much of the atomic model's motion is in the images, and "
        "how much is its own (cryosway audit)",
    )
    seed: int = SEED


class DemoOptions(Options):
    """Options of `demo`."""

    images: int = Field(4_000, ge=100, description="number of simulated images")
    box: int = Field(64, ge=32, description="image size, pixels")
    snr: float = Field(0.05, gt=0, description="variance of the signal over that of the noise")
    seed: int = SEED
