"""`contacts`: which residues touch, from the attention of a language model."""

from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    load_tensors,
    save_tensors,
    select_device,
    write_json,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.options import ContactsOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import Checkpoint, SequenceRecord, open_checkpoint, read_sequences
from cryosway.protein.folding import choose_file_names
from cryosway.protein.language import (
    ContactHead,
    LanguageModel,
    fit_contact_head,
    measure_precision,
    read_chain,
)
from cryosway.report import draw_contacts, write_figure

FloatArray = npt.NDArray[np.float64]

_HEAD = "contact_head.safetensors"
_STRUCTURES = (".cif", ".pdb", ".ent", ".mmcif")


def contacts(
    sequences: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Predict contacts of residues from the attention of a language model.

    Parameters
    ----------
    sequences : path
        FASTA, also gzipped.
    out : path
        Job folder: ``contacts/`` with a safetensors file of each sequence (``probabilities``,
        shape (L, L)), ``figures/``, ``contacts.json`` (precision against the structures), and
        ``contact_head.safetensors``, the head that was used.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `ContactsOptions`.

    Returns
    -------
    Job
        Its ``info["contacts"]`` has the mean precision where there are structures.

    Raises
    ------
    CryoswayError
        When the checkpoint has no head and none is given or trained, or files cannot be used.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.contacts(
    ...     "adk.fasta", "contacts", checkpoint="esm2", structure=("1ake.cif",)
    ... )  # doctest: +SKIP
    """
    settings = ContactsOptions.check("protein contacts", options)
    checkpoint = open_checkpoint(settings.checkpoint, fetch=settings.fetch)
    inputs = {"sequences": fingerprint_file(sequences), "checkpoint": checkpoint.fingerprint()}
    files = {
        "head": [settings.head] if settings.head is not None else [],
        "train_on": _list_structures(settings.train_on) if settings.train_on is not None else [],
        "structure": settings.structure,
    }
    inputs |= {
        name: ",".join(map(fingerprint_file, paths)) for name, paths in files.items() if paths
    }
    with JobFolder.start(
        out, "protein contacts", settings, inputs, sources={"sequences": [Path(sequences)]},
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            records, known = _read(sequences, settings)
            _require_head(checkpoint, settings)
            model = LanguageModel(
                checkpoint,
                select_device(device),
                precision=settings.precision,
                threads=threads,
                may_lack=("contact_head", "lm_head"),
            )
            head = _find_head(job, model, settings)
            _predict_all(job, model, head, records, known)
    return open_job(out)


def _read(
    sequences: str | Path, options: ContactsOptions
) -> tuple[list[SequenceRecord], list[FloatArray]]:
    """Read sequences, and the distances (L, L) of the first ones' residues: before any weights."""
    records = read_sequences(sequences, longest=options.longest)
    if len(options.structure) > len(records):
        message = f"{len(options.structure)} structures are given for {len(records)} sequences"
        raise CryoswayError(message)
    pairs = zip(options.structure, records, strict=False)
    return records, [read_chain(path).spread_over(record.sequence) for path, record in pairs]


def _require_head(checkpoint: Checkpoint, options: ContactsOptions) -> None:
    if options.head or options.train_on or checkpoint.holds("contact_head"):
        return
    message = (
        f"{checkpoint.folder} has no contact head; train one with --train-on FOLDER of "
        "structures (twenty are enough), or give one with --head"
    )
    raise CryoswayError(message)


def _find_head(job: JobFolder, model: LanguageModel, options: ContactsOptions) -> ContactHead:
    """Find the head and keep it in the job, where a run that goes on finds it."""
    path = job.path / _HEAD
    if path.exists():
        return ContactHead.load(path)
    head = _make_head(job, model, options)
    head.save(path)
    return head


def _make_head(job: JobFolder, model: LanguageModel, options: ContactsOptions) -> ContactHead:
    if options.head is not None:
        return ContactHead.load(options.head)
    if options.train_on is not None:
        paths = _list_structures(options.train_on)
        with job.stage(f"contact head from {len(paths)} structures"):
            chains = [read_chain(path) for path in paths]
            return fit_contact_head(model.network, chains, options.seed)
    return ContactHead.of(model.network)


def _list_structures(folder: Path) -> list[Path]:
    paths = sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if Path(path.name.removesuffix(".gz")).suffix.lower() in _STRUCTURES
    )
    if not paths:
        message = f"{folder} holds no structures (.cif or .pdb) to train a contact head on"
        raise CryoswayError(message)
    return paths


def _predict_all(
    job: JobFolder,
    model: LanguageModel,
    head: ContactHead,
    records: list[SequenceRecord],
    known: list[FloatArray],
) -> None:
    (job.path / "contacts").mkdir(exist_ok=True)
    found: list[dict[str, Any]] = []
    with job.stage("contacts"), job.progress(len(records), "sequences") as progress:
        for record, name, distances in zip_longest(records, choose_file_names(records), known):
            found.append(_predict(job, model, head, record, name, distances))
            progress.advance()
    write_json(job.path / "contacts.json", found)
    _sum_up(job, found)


def _predict(
    job: JobFolder,
    model: LanguageModel,
    head: ContactHead,
    record: SequenceRecord,
    name: str,
    distances: FloatArray | None,
) -> dict[str, Any]:
    """Predict the contacts of a record, unless an earlier run has; compare and draw them."""
    entry: dict[str, Any] = {"name": record.name, "file": f"contacts/{name}.safetensors"}
    if not (job.path / entry["file"]).exists():
        tensors = {"probabilities": head.predict(model.network, record.sequence)}
        meta = {"name": record.name, "sequence": record.sequence}
        save_tensors(job.path / entry["file"], tensors, meta)
    probabilities = load_tensors(job.path / entry["file"])[0]["probabilities"]
    if distances is not None:
        entry["precision"] = measure_precision(probabilities, distances)
    picture = job.path / "figures" / f"{name}.png"
    if not picture.exists():
        figure = draw_contacts(record.name, probabilities, distances, _describe(entry))
        write_figure(picture, figure)
    return entry


def _describe(entry: dict[str, Any]) -> str:
    if "precision" not in entry:
        return ""
    long = entry["precision"]["long"]
    return f"long range: {long['L']:.2f} at L, {long['L/5']:.2f} at L/5"


def _sum_up(job: JobFolder, found: list[dict[str, Any]]) -> None:
    judged = [entry["precision"] for entry in found if "precision" in entry]
    precision = {
        span: {
            share: float(np.nanmean([entry[span][share] for entry in judged]))
            for share in judged[0][span]
        }
        for span in (judged[0] if judged else ())
    }
    job.update(contacts={"sequences": len(found), "judged": len(judged), "precision": precision})
    if judged:
        long = precision["long"]
        job.log(f"long-range precision: {long['L']:.3f} at L, {long['L/5']:.3f} at L/5")
