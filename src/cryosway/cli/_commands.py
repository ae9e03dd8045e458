"""The table of commands. A new method is one line here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

METHODS = "cryosway.methods"
OPTIONS = "cryosway.methods._options"
PROTEIN_OPTIONS = "cryosway.methods._protein.options"
BENCH_OPTIONS = "cryosway.methods._bench.options"
LANDSCAPE_OPTIONS = "cryosway.methods._landscape.options"
ALL_CONTROLS = ("resume", "overwrite", "device", "threads")
TRAINING_CONTROLS = (*ALL_CONTROLS, "gpus")

Source = Literal[
    "particles",
    "structures",
    "docking",
    "comparison",
    "sequences",
    "predictions",
    "atlas",
    "job",
    "scenes",
    "jobs",
    "folder",
    "folders",
    "scoring",
    "sets",
    "none",
]

#: Groups of commands, as in ``cryosway protein dock``: the first word and its line of help.
GROUPS = {
    "protein": "Models and sequences: dock, compare, fold, search, embed, score, train.",
    "bench": "The benchmark: make sets, run methods, score any program, one table.",
}


@dataclass(frozen=True)
class Command:
    """One command of the command line, which calls one function.

    Attributes
    ----------
    name : str
        As typed; two words for a command of a group (see `GROUPS`).
    target : str
        "module:function"; imported when the command runs.
    summary : str
        The line in ``cryosway --help``.
    source : str
        What the first arguments are: particles (files, read before the call), structures (files),
        docking (structures and a map), comparison (two structures), sequences (a file),
        predictions (folders), atlas (a folder), job (a folder), jobs (several), folder (of another
        program), folders (of scores), scoring (a set with a known truth, and a result), sets
        (several), or none.
    options : str, optional
        "module:Model", the pydantic model of its options, which is shown as help without
        importing the function; without one, the keyword arguments of the function's signature
        are the options and its docstring is their help.
    controls : tuple of str
        Which shared options it takes besides ``--out``.
    out : Path, optional
        The default of ``--out``; ``...`` where it must be given and None where there is none.
    """

    name: str
    target: str
    summary: str
    source: Source = "particles"
    options: str | None = None
    controls: tuple[str, ...] = ALL_CONTROLS
    out: Any = ...

    @property
    def words(self) -> tuple[str, ...]:
        """The name as it stands in an argument list."""
        return tuple(self.name.split())

    def is_named(self, arguments: Sequence[str]) -> bool:
        """Tell whether the argument list is of this command."""
        return tuple(arguments[: len(self.words)]) == self.words


COMMANDS = (
    Command(
        "demo",
        f"{METHODS}:demo",
        "The whole pipeline on built-in data, in minutes on a laptop.",
        source="none",
        options=f"{OPTIONS}:DemoOptions",
        out=Path("demo"),
    ),
    Command(
        "run",
        f"{METHODS}:run",
        "All of it: from particles, and a sequence or model if there is one, to one report.",
        options=f"{OPTIONS}:RunOptions",
    ),
    Command(
        "inspect",
        f"{METHODS}:inspect",
        "What is in these files; are poses, CTF and sign right? A quick map.",
        options=f"{OPTIONS}:InspectOptions",
    ),
    Command(
        "prepare",
        f"{METHODS}:prepare",
        "Crop, downsample, normalise and whiten into a float16 MRC stack and STAR.",
        options=f"{OPTIONS}:PrepareOptions",
    ),
    Command(
        "backproject",
        f"{METHODS}:backproject",
        "The consensus map, its half-maps, FSC and local resolution.",
        options=f"{OPTIONS}:BackprojectOptions",
    ),
    Command(
        "linear",
        f"{METHODS}:linear",
        "Mean plus components by expectation–maximisation; maps along the latents.",
        options=f"{OPTIONS}:LinearOptions",
    ),
    Command(
        "vae",
        f"{METHODS}:vae",
        "A neural field whose latents an encoder reads from the images.",
        options=f"{OPTIONS}:VaeOptions",
        controls=TRAINING_CONTROLS,
    ),
    Command(
        "autodecoder",
        f"{METHODS}:autodecoder",
        "A neural field with a table of latents, one row per particle.",
        options=f"{OPTIONS}:AutodecoderOptions",
        controls=TRAINING_CONTROLS,
    ),
    Command(
        "structural",
        f"{METHODS}:structural",
        "An atomic model that deforms: its conformation in every particle.",
        options=f"{OPTIONS}:StructuralOptions",
    ),
    Command(
        "audit",
        f"{METHODS}:audit",
        "How much of what structural found is in the data, and how much is its model's.",
        source="job",
        options=f"{OPTIONS}:AuditOptions",
    ),
    Command(
        "density",
        f"{METHODS}:density",
        "Maps free of the atomic prior, from what structural has found.",
        source="job",
        options=f"{OPTIONS}:DensityOptions",
    ),
    Command(
        "models",
        "cryosway.cli._models:models",
        "Atomic models at chosen latents or particles of a structural job.",
        source="job",
        controls=(),
    ),
    Command(
        "motions",
        f"{METHODS}:motions",
        "Rigid domains, hinges, displacements and distances in what structural has found.",
        source="job",
        options=f"{OPTIONS}:MotionsOptions",
        controls=("resume", "overwrite", "threads"),
    ),
    Command(
        "encode",
        f"{METHODS}:encode",
        "Latents of new particles by the encoder of a trained vae.",
        options=f"{OPTIONS}:EncodeOptions",
    ),
    Command(
        "landscape",
        "cryosway.landscape:landscape",
        "Principal directions, clusters, UMAP, and the maps along them.",
        source="job",
        options=f"{LANDSCAPE_OPTIONS}:LandscapeOptions",
        controls=(),
        out=None,
    ),
    Command(
        "volumes",
        "cryosway.cli._volumes:volumes",
        "Density maps at chosen latents or particles of a job.",
        source="job",
        controls=(),
    ),
    Command(
        "path",
        "cryosway.cli._path:path",
        "Maps along a way: straight, through particles, over the passes of the free energy.",
        source="job",
        controls=(),
    ),
    Command(
        "movie",
        "cryosway.cli._movie:movie",
        "A movie of the maps or models along a path: mp4, gif or webp, without a display.",
        source="scenes",
        controls=(),
    ),
    Command(
        "states",
        f"{METHODS}:states",
        "Discrete states, their populations and free energies, with intervals.",
        source="job",
        options=f"{LANDSCAPE_OPTIONS}:StatesOptions",
        controls=(),
        out=None,
    ),
    Command(
        "select",
        f"{METHODS}:select",
        "Particles of a cluster, state, interval, list or condition, for RELION or cryoSPARC.",
        source="job",
        options=f"{LANDSCAPE_OPTIONS}:SelectOptions",
        controls=(),
    ),
    Command(
        "validate",
        f"{METHODS}:validate",
        "What is real: null test, half-sets, leakage, support, convergence, truth.",
        source="job",
        options=f"{METHODS}._validate.options:ValidateOptions",
    ),
    Command(
        "compare",
        f"{METHODS}:compare",
        "Methods, seeds or data sets side by side: where latents and maps agree.",
        source="jobs",
        options=f"{METHODS}._compare.options:CompareOptions",
        controls=("resume", "overwrite", "threads"),
    ),
    Command(
        "export",
        f"{METHODS}:export",
        "Particles, latents and model of a job as files of another program.",
        source="job",
        options=f"{OPTIONS}:ExportOptions",
        controls=(),
    ),
    Command(
        "import-cryodrgn",
        f"{METHODS}:import_cryodrgn",
        "A training folder of cryoDRGN as a job, read without running code in it.",
        source="folder",
        options=f"{OPTIONS}:ImportCryodrgnOptions",
        controls=("overwrite",),
    ),
    Command(
        "protein dock",
        f"{METHODS}:dock",
        "Where models lie in a map, one or several; what density they explain; both hands.",
        source="docking",
        options=f"{OPTIONS}:DockOptions",
    ),
    Command(
        "protein fold",
        f"{METHODS}:fold",
        "From sequences to structures with pLDDT, PAE and pTM; proteins alone and complexes.",
        source="sequences",
        options="cryosway.methods._protein.fold_options:FoldOptions",
        controls=TRAINING_CONTROLS,
    ),
    Command(
        "protein atlas",
        f"{METHODS}:atlas",
        "Many predictions in a few files: a table of confidences, structures in shards.",
        source="predictions",
        options="cryosway.methods._protein.fold_options:AtlasOptions",
        controls=("resume", "overwrite"),
    ),
    Command(
        "protein search",
        "cryosway.cli._search:search",
        "Find predictions in an atlas by sequence, confidence or structure.",
        source="atlas",
        controls=(),
        out=None,
    ),
    Command(
        "protein compare",
        "cryosway.cli._compare:compare",
        "How alike two models, ensembles or predictions are: RMSD, TM-score, lDDT.",
        source="comparison",
        controls=(),
        out=None,
    ),
    Command(
        "protein embed",
        f"{METHODS}:embed",
        "Representations of residues and sequences by a language model (ESM-2).",
        source="sequences",
        options=f"{PROTEIN_OPTIONS}:EmbedOptions",
        controls=TRAINING_CONTROLS,
    ),
    Command(
        "protein score",
        f"{METHODS}:score",
        "How likely a language model finds sequences, and what exchanges of residues cost.",
        source="sequences",
        options=f"{PROTEIN_OPTIONS}:ScoreOptions",
    ),
    Command(
        "protein contacts",
        f"{METHODS}:contacts",
        "Which residues touch, from the attention of a language model.",
        source="sequences",
        options=f"{PROTEIN_OPTIONS}:ContactsOptions",
    ),
    Command(
        "protein train",
        f"{METHODS}:train_language_model",
        "A language model trained on sequences by the recipe of ESM-2.",
        source="sequences",
        options=f"{PROTEIN_OPTIONS}:ProteinTrainOptions",
        controls=TRAINING_CONTROLS,
    ),
    Command(
        "bench make",
        f"{METHODS}:bench_make",
        "Sets with a known truth, as CryoBench's, offline: kinds, SNRs, variants.",
        source="none",
        options=f"{BENCH_OPTIONS}:BenchMakeOptions",
        controls=("overwrite", "threads"),
    ),
    Command(
        "bench run",
        f"{METHODS}:bench_run",
        "Methods of ours and other programs on sets, measured and scored.",
        source="sets",
        options=f"{BENCH_OPTIONS}:BenchRunOptions",
        controls=("threads",),
    ),
    Command(
        "bench score",
        f"{METHODS}:bench_score",
        "Maps and latents of any program against the truth of a set, CryoBench's or ours.",
        source="scoring",
        options=f"{BENCH_OPTIONS}:BenchScoreOptions",
        controls=("resume", "overwrite", "threads"),
    ),
    Command(
        "bench table",
        f"{METHODS}:bench_table",
        "All scores in one table, with plots.",
        source="folders",
        controls=(),
    ),
    Command(
        "report",
        "cryosway.report:report",
        "One self-contained HTML page of what a job found.",
        source="job",
        options=f"{OPTIONS}:ReportOptions",
        controls=(),
        out=None,
    ),
    Command(
        "simulate",
        "cryosway.simulate:simulate",
        "Particle images of atomic models, trajectories or maps, with known truth.",
        source="structures",
        options="cryosway.simulate._options:SimulateOptions",
        controls=("overwrite",),
    ),
    Command(
        "doctor",
        "cryosway.cli._doctor:doctor",
        "Versions, devices, memory, disk speed; what is missing and how to get it.",
        source="none",
        controls=(),
        out=None,
    ),
)
