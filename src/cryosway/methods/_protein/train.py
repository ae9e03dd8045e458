"""`train_language_model`: ESM-2's recipe on sequences of one's own."""

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    ProcessGroup,
    TrainingPlan,
    open_process_group,
    read_json,
    select_device,
    set_threads,
    share_job,
    train,
    write_json,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.options import ProteinTrainOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import load_network, open_checkpoint
from cryosway.protein.language import (
    SIZES,
    Corpus,
    HeldOut,
    LanguageStep,
    Recipe,
    build_config,
    build_network,
    find_mmseqs,
    make_clusters,
    read_clusters,
    shard_network,
    write_checkpoint,
)
from cryosway.report import draw_perplexity, write_figure

if TYPE_CHECKING:
    import torch
    from transformers import EsmForMaskedLM

_FINAL_RATE = 0.1  # of the learning rate, as ESM-2
_BETAS = (0.9, 0.98)
_WEIGHT_DECAY = 0.01
_CLUSTERS = "clusters.tsv"
_COURSE = "validation.json"


def train_language_model(
    sequences: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Train a protein language model: a transformer that guesses hidden residues.

    The recipe is that of ESM-2 (Lin et al., Science 2023): clusters are drawn with equal chance,
    then a member, then a window; 15 % of its residues are to be guessed, of which 80 % are
    hidden, 10 % exchanged and 10 % left; AdamW with warm-up and a linear decay. It is judged on
    held-out clusters by masks only, against knowing the frequencies of residues.

    Parameters
    ----------
    sequences : path
        FASTA, also gzipped.
    out : path
        Job folder: ``model/`` is a checkpoint in the layout of Hugging Face; ``validation.json``
        and ``figures/perplexity.png`` have the course.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `ProteinTrainOptions`.

    Returns
    -------
    Job
        Its ``info["language_model"]`` has the perplexities.

    Raises
    ------
    CryoswayError
        When sequences, clusters or the checkpoint to start from cannot be used.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.train_language_model("uniref50.fasta", "lm", size="35M")  # doctest: +SKIP
    >>> job.info["language_model"]["perplexity"]  # doctest: +SKIP
    9.2
    """
    settings = ProteinTrainOptions.check("protein train", options)
    set_threads(threads)
    inputs = {"sequences": fingerprint_file(sequences)}
    if isinstance(settings.clusters, Path):
        inputs["clusters"] = fingerprint_file(settings.clusters)
    if settings.start is not None:
        inputs["start"] = open_checkpoint(settings.start).fingerprint()
    with open_process_group(device) as group:
        place = select_device(device) if group is None else group.device
        folder = JobFolder.start(
            out, "protein train", settings, inputs, sources={"sequences": [Path(sequences)]},
            resume=resume, overwrite=overwrite,
        )  # fmt: skip
        with share_job(group, folder) as job:
            if job is None:
                assert group is not None
                told = group.tell_all(None)
                if told is not None:
                    LanguageTraining(sequences, told, settings, place).run(None, group)
            elif not job.already_finished:
                clusters = _find_clusters(job, sequences, settings, threads)
                if group is not None:
                    group.tell_all(clusters)
                LanguageTraining(sequences, clusters, settings, place).run(job, group)
            elif group is not None:
                group.tell_all(None)
    return open_job(out)


@final
@dataclass(frozen=True)
class LanguageTraining:
    """A training, the same in every process that shares it.

    Attributes
    ----------
    sequences : path
        FASTA.
    clusters : str
        Table of clusters; empty where there is none.
    options : ProteinTrainOptions
        Of the command.
    device : torch.device
        Of this process.
    """

    sequences: str | Path
    clusters: str
    options: ProteinTrainOptions
    device: "torch.device"

    def run(self, job: JobFolder | None, group: ProcessGroup | None) -> None:
        """Train; the process that has the job judges and writes."""
        options = self.options
        network, config = self._start_network()
        learnt, held = self._clusters_of_both
        network.to(self.device)  # type: ignore[arg-type]
        whole = self._shard(network, group)
        step = LanguageStep(
            network,
            Recipe(self.corpus, learnt, self._crop, options.seed, options.recompute),
        )
        plan = self._plan(group.size if group is not None and options.shard_weights else 1)
        count = plan.batch_size * self._every
        if job is None:
            train(plan, step, count, None, self.device, group=group)
            return
        judge = HeldOut.draw(self.corpus, held, self._frequencies, self._crop, options.seed)
        job.log(self._describe(network, judge, plan))
        course = _Course(job, judge, whole, self._every, in_pieces=whole is not network)
        with job.stage("training"):
            result = train(plan, step, count, job, self.device, group=group, on_epoch=course.judge)
        write_checkpoint(job.path / "model", whole, config)
        job.update(language_model={**course.rows[-1], "parameters": _count(whole)})
        job.delete_checkpoint("training")
        job.log(f"{result.items_per_s:.3g} sequences per second; model in {job.path / 'model'}")

    @cached_property
    def corpus(self) -> Corpus:
        """The sequences in their clusters."""
        return Corpus.read(self.sequences, read_clusters(self.clusters) if self.clusters else None)

    @cached_property
    def _clusters_of_both(self) -> Any:
        return self.corpus.split(self.options.held_out, np.random.default_rng(self.options.seed))

    @cached_property
    def _frequencies(self) -> Any:
        return self.corpus.frequencies(self._clusters_of_both[0])

    @property
    def _every(self) -> int:
        """Steps between judgements."""
        return min(self.options.validate_every, self.options.steps)

    @property
    def _crop(self) -> int:
        return self.options.crop

    def _start_network(self) -> "tuple[EsmForMaskedLM, dict[str, Any]]":
        options = self.options
        if options.start is None:
            config = build_config(SIZES[options.size], options.crop)
            return build_network(config, self._frequencies, options.seed), config
        from transformers import EsmForMaskedLM

        checkpoint = open_checkpoint(options.start)
        network: Any = load_network(checkpoint, EsmForMaskedLM, may_lack=("contact_head",))
        return network, dict(checkpoint.config)

    def _shard(self, network: "EsmForMaskedLM", group: ProcessGroup | None) -> "EsmForMaskedLM":
        """Cut the network into pieces if asked to; give one that is whole, to judge and write."""
        if not self.options.shard_weights:
            return network
        if group is None:
            message = "shard_weights needs several processes: start them by --gpus or torchrun"
            raise CryoswayError(message)
        whole = copy.deepcopy(network) if group.rank == 0 else network
        shard_network(network, group.size, self.device)
        return whole

    def _plan(self, pieces: int) -> TrainingPlan:
        options, every = self.options, self._every
        tokens = self.corpus.mean_tokens(self._clusters_of_both[0], options.crop)
        return TrainingPlan(
            epochs=-(-options.steps // every),
            batch_size=pieces * max(1, round(options.batch_tokens / tokens / pieces)),
            learning_rate=options.learning_rate,
            warmup_steps=min(options.warmup, options.steps),
            decay="linear",
            final_rate=_FINAL_RATE,
            betas=_BETAS,
            weight_decay=_WEIGHT_DECAY,
            clip_norm=1.0,
            seed=options.seed,
            precision=options.precision,
            time_limit_s=None if options.time_limit is None else 60 * options.time_limit,
            loader_threads=options.loader_threads,
            metrics_steps=max(1, every // 10),
        )

    def _describe(self, network: "EsmForMaskedLM", judge: HeldOut, plan: TrainingPlan) -> str:
        learnt, held = self._clusters_of_both
        return (
            f"{len(self.corpus)} sequences in {self.corpus.clusters} clusters; {len(held)} are "
            f"held out ({judge.guesses} residues to guess), {len(learnt)} learnt from, "
            f"{plan.batch_size} sequences a step; {_count(network):,} parameters; frequencies "
            f"alone give a perplexity of {judge.unigram_perplexity:.2f}"
        )


@final
class _Course:
    """Judges the network now and then, and writes what it finds."""

    def __init__(
        self,
        job: JobFolder,
        judge: HeldOut,
        network: "EsmForMaskedLM",
        every: int,
        *,
        in_pieces: bool,
    ) -> None:
        self._job, self._judge, self._network, self._every = job, judge, network, every
        self._in_pieces = in_pieces
        path = job.path / _COURSE
        self.rows: list[dict[str, Any]] = read_json(path) if path.exists() else []

    def judge(self, epoch: int, losses: dict[str, float]) -> None:
        """Measure the perplexity after a round of training; once where it is told twice."""
        if self._in_pieces:  # the checkpoint of this very moment has them together
            tensors, _ = self._job.load_checkpoint("training") or ({}, {})
            kept = {
                n.removeprefix("module."): x for n, x in tensors.items() if n.startswith("module.")
            }
            self._network.load_state_dict(kept)
        row = {
            "step": (epoch + 1) * self._every,
            "perplexity": self._judge.perplexity(self._network.eval()),
            "unigram_perplexity": self._judge.unigram_perplexity,
            "training_perplexity": math.exp(losses["loss"] / losses["guesses"]),
        }
        self.rows = [entry for entry in self.rows if entry["step"] < row["step"]] + [row]
        write_json(self._job.path / _COURSE, self.rows)
        self._draw()
        self._job.log(
            f"held-out clusters, masks only: perplexity {row['perplexity']:.3f} (frequencies "
            f"alone {row['unigram_perplexity']:.3f}); in training {row['training_perplexity']:.3f}"
        )

    def _draw(self) -> None:
        columns = [
            [row[name] for row in self.rows]
            for name in ("step", "perplexity", "training_perplexity")
        ]
        steps, held_out, training = columns
        unigram = self._judge.unigram_perplexity
        figure = draw_perplexity(steps, held_out, training, unigram)
        write_figure(self._job.path / "figures" / "perplexity.png", figure)


def _find_clusters(
    job: JobFolder, sequences: str | Path, options: ProteinTrainOptions, threads: int | None
) -> str:
    """Find the table of clusters, or make it by MMseqs2; the empty path stands for none."""
    if isinstance(options.clusters, Path):
        return str(options.clusters)
    if options.clusters == "none":
        return ""
    path = job.path / _CLUSTERS
    if path.exists():
        return str(path)
    if find_mmseqs() is None:
        why = "MMseqs2 is not installed, so that frequent families weigh more than rare ones"
        job.decide("clusters of sequences", "none", why)
        return ""
    with job.stage("clusters"):
        make_clusters(sequences, path, threads=threads or 1)
    job.decide("clusters of sequences", "MMseqs2, 50 % identity", "so that families count alike")
    return str(path)


def _count(network: "EsmForMaskedLM") -> int:
    return sum(parameter.numel() for parameter in network.parameters())
