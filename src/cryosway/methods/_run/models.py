"""What a run follows through the particles: models that are given, or to be folded."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryosway._errors import CryoswayError
from cryosway.engine import read_table, write_atomically
from cryosway.methods._options import RunOptions
from cryosway.methods._protein.engines import fingerprint_engine, require_checkpoint
from cryosway.methods._protein.fold_results import TABLE
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import (
    BadRecord,
    SequenceRecord,
    clean_records,
    find_scores,
    read_prediction,
    stream_fasta,
)
from cryosway.protein.prediction import require_models

_COPIES = re.compile(r"\bcopies=(\d+)\b")


@dataclass(frozen=True)
class Chain:
    """A record of a FASTA file, and how many copies it says there are: None where it does not."""

    record: SequenceRecord
    copies: int | None


@dataclass(frozen=True)
class Body:
    """A model to be docked, and how many times: None for as many as fit."""

    model: Path
    copies: int | None


def wants_models(options: RunOptions) -> bool:
    """Tell whether a run is to go on to atomic models; fails where it cannot.

    Raises
    ------
    CryoswayError
        When there are several sources of models, or a sequence and nothing to fold it with.
    """
    sources = {
        "--checkpoint": options.checkpoint is not None,
        "--prediction": bool(options.prediction),
        "--model": options.model is not None,
    }
    given = [name for name, is_given in sources.items() if is_given]
    if len(given) > 1:
        msg = f"run: {' and '.join(given)} are given; the models come from one of them"
        raise CryoswayError(msg)
    if options.sequence is not None and options.model is not None:
        msg = "run: --sequence and --model are given; the models come from one of them"
        raise CryoswayError(msg)
    if options.checkpoint is not None and options.sequence is None:
        msg = "run: --checkpoint folds, but there is nothing to fold; give --sequence"
        raise CryoswayError(msg)
    if options.sequence is not None and not given:
        require_checkpoint(options)
    if options.audit and not given:
        msg = (
            "run: --audit is of an atomic model's motion; give --model, --prediction or --sequence"
        )
        raise CryoswayError(msg)
    return bool(given)


def fingerprint_models(options: RunOptions) -> dict[str, str]:
    """Give fingerprints of what the models come from, for job.json; reads it, so it fails early."""
    found: dict[str, str] = {}
    if isinstance(options.confidence, Path):
        found["confidence"] = fingerprint_file(options.confidence)
    if options.sequence is not None:
        read_chains(options.sequence)
        found["sequence"] = fingerprint_file(options.sequence)
    if options.checkpoint is not None:
        found |= fingerprint_engine(options)
    if options.prediction:
        for body in choose_predictions(options):
            scores = find_scores(body.model)
            files = [body.model, *([] if scores is None else [scores])]
            found |= {str(path): fingerprint_file(path) for path in files}
    return found


def read_chains(path: Path) -> list[Chain]:
    """Read the distinct sequences of a FASTA file, with how many copies it gives of each.

    ``copies=4`` in a header says 4, and so does a sequence that is given 4 times, whatever its
    names; a sequence that is given once leaves it open.

    Raises
    ------
    CryoswayError
        At the first record that is no protein.
    """
    records = list(stream_fasta(path))
    counts = Counter(_clean(record) for record in records)
    distinct = list({_clean(record): record for record in reversed(records)}.values())[::-1]
    chains = []
    for entry in clean_records(distinct, path, complexes=True):
        if isinstance(entry, BadRecord):
            raise CryoswayError(entry.problem)
        stated = _COPIES.search(entry.description)
        count = counts[entry.sequence]
        copies = int(stated[1]) if stated else count if count > 1 else None
        if copies == 0:
            msg = f"{path} line {entry.line}: copies=0 of {entry.name}; take the record out"
            raise CryoswayError(msg)
        chains.append(Chain(entry, copies))
    if not chains:
        msg = f"{path} holds no sequences; a FASTA file has lines >name and sequences below"
        raise CryoswayError(msg)
    return chains


def write_chains(chains: Sequence[Chain], path: Path) -> None:
    """Write the sequences of chains as FASTA, each once."""
    lines = [f">{chain.record.description}\n{chain.record.sequence}\n" for chain in chains]
    with write_atomically(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def choose_folded(chains: Sequence[Chain], folder: Path) -> list[Body]:
    """Find the models that `fold` has made of chains.

    Raises
    ------
    CryoswayError
        When one of them could not be folded.
    """
    table = read_table(folder / TABLE)
    bodies = []
    for chain in chains:
        row = table[table["sha256"] == chain.record.digest].iloc[0]
        if row["status"] != "folded":
            msg = f"{chain.record.name} could not be folded: {row['problem']}"
            raise CryoswayError(msg)
        bodies.append(Body(folder / str(row["file"]), chain.copies))
    return bodies


def choose_predictions(options: RunOptions) -> list[Body]:
    """Choose among predictions of other programs: those of the sequences, else all.

    Of several models of the same sequences the first is taken; models of complexes go before
    those of their chains.

    Raises
    ------
    CryoswayError
        When there are none, or a sequence has none.
    """
    models: dict[tuple[str, ...], Path] = {}
    listed = (require_models(one) if one.is_dir() else [one] for one in options.prediction)
    for path in itertools.chain.from_iterable(listed):
        parts = tuple(sorted(read_prediction(path).sequence.split(":")))
        models.setdefault(parts, path)
    if options.sequence is None:
        return [Body(path, None) for path in models.values()]
    wanted = _count_chains(read_chains(options.sequence))
    left, bodies = dict.fromkeys(wanted), []
    for parts, path in sorted(models.items(), key=lambda item: -len(item[0])):
        if set(parts) <= set(wanted) and any(part in left for part in parts):
            bodies.append(Body(path, _share_copies(parts, wanted)))
            left = {part: None for part in left if part not in parts}
    if left:
        missing = next(iter(left))
        msg = (
            f"no prediction has the sequence {missing[:12]}… ({len(missing)} residues) of "
            f"{options.sequence}; give one of it, or leave --sequence out to dock all of them"
        )
        raise CryoswayError(msg)
    return bodies


def _clean(record: SequenceRecord) -> str:
    return record.sequence.upper().removesuffix("*")


def _count_chains(chains: Iterable[Chain]) -> dict[str, int | None]:
    """Say how many there are of each chain of the records, those of complexes among them."""
    counts: dict[str, int | None] = {}
    for chain in chains:
        for sequence, count in Counter(chain.record.chains).items():
            more = None if chain.copies is None else count * chain.copies
            before = counts.get(sequence, 0)
            counts[sequence] = None if before is None or more is None else before + more
    return counts


def _share_copies(parts: Sequence[str], wanted: dict[str, int | None]) -> int | None:
    """Say how many copies of a model of these chains make up what is wanted."""
    shares = []
    for part, count in Counter(parts).items():
        copies = wanted[part]
        if copies is None:
            return None
        shares.append(max(1, copies // count))
    return min(shares)
