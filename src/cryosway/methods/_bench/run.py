"""`bench run`: every method on every set, scored."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryosway._errors import CryoswayError
from cryosway.engine import LOGGER
from cryosway.methods._bench.options import BenchRunOptions
from cryosway.methods._bench.programs import (
    CryodrgnTraining,
    OtherProgram,
    OwnMethod,
    Program,
)
from cryosway.methods._bench.score import bench_score
from cryosway.methods._bench.table import bench_table
from cryosway.methods._bench.truth_set import read_truth_set

_FROM_LINEAR = ("vae", "autodecoder")


def bench_run(
    sets: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    threads: int | None = None,
    **options: Any,
) -> Path:
    """Run methods and other programs on sets with a known truth, and score what they find.

    Each runs in a process of its own, whose time and memory are measured. What is done is kept:
    the same command goes on where it stopped, and methods or sets can be added.

    Parameters
    ----------
    sets : sequence of path
        Sets of `bench make`, or of CryoBench.
    out : path
        Folder: ``SET/PROGRAM/`` holds the ``job``, its log, ``run.json`` (what it cost) and the
        ``score``; ``table/`` the table of all (see `bench_table`).
    threads : int, optional
        Threads of every program; all CPUs by default.
    **options
        The fields of `BenchRunOptions`.

    Returns
    -------
    Path
        The folder of the table.

    Raises
    ------
    CryoswayError
        When a set cannot be read, or a program fails: the sentence names its log.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.bench_run(["sets/hinge_snr0.1"], "runs", method=("linear", "vae"))  # doctest: +SKIP
    PosixPath('runs/table')
    """
    settings = BenchRunOptions.check("bench run", options)
    given = [sets] if isinstance(sets, str | Path) else list(sets)
    programs = list(list_programs(settings))
    known = [read_truth_set(one) for one in given]
    total, done = len(known) * len(programs), 0
    for truth in known:
        for program in programs:
            done += 1
            what = f"{truth.name}, {program.name} ({done} of {total})"
            if (why := program.lacks(truth)) is not None:
                LOGGER.info("%s: left out, since %s", what, why)
                continue
            LOGGER.info("%s ...", what)
            folder = Path(out) / truth.name / program.name
            found = program.run(truth, folder, threads)
            bench_score(
                truth.path, found, folder / "score", overwrite=True, threads=threads,
                scored=settings.scored, name=program.name,
            )  # fmt: skip
    return bench_table([Path(out)], Path(out) / "table").path


def list_programs(settings: BenchRunOptions) -> Iterator[Program]:
    """List what is to be run, in the order in which one needs the other.

    Raises
    ------
    CryoswayError
        If an option or a program is not given as it should.
    """
    peers = dict(_split(text, "--peer", "NAME=PROGRAM") for text in settings.peer)
    known = {*settings.method, *peers, *(["cryodrgn"] if settings.cryodrgn else [])}
    options = _read_options(settings.option, known)
    for seed in settings.seeds:
        ending = f"_s{seed}" if len(settings.seeds) > 1 else ""
        linear = f"linear{ending}" if "linear" in settings.method else None
        # linear first, since networks start from it.
        for method in sorted(settings.method, key=lambda name: name != "linear"):
            chosen = {"seed": str(seed), **options.get(method, {})}
            if method == "structural":
                for prior in settings.prior:
                    name = method if prior == "right" else f"{method}_{prior}"
                    yield OwnMethod(f"{name}{ending}", chosen, method, model=f"{prior}.cif")
                continue
            starts = linear if method in _FROM_LINEAR and "start" not in chosen else None
            yield OwnMethod(f"{method}{ending}", chosen, method, linear=starts)
        if settings.cryodrgn is not None:
            chosen = {"seed": str(seed), **options.get("cryodrgn", {})}
            yield CryodrgnTraining(f"cryodrgn{ending}", chosen, settings.cryodrgn)
    for name, program in peers.items():
        found = shutil.which(program)
        if found is None:
            msg = f"--peer {name}={program}: there is no such program; give a path that can be run"
            raise CryoswayError(msg)
        yield OtherProgram(name, options.get(name, {}), Path(found).resolve())


def _read_options(texts: Sequence[str], known: set[str]) -> dict[str, dict[str, str]]:
    """Read METHOD:NAME=VALUE."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        name, value = _split(text, "--option", "METHOD:NAME=VALUE")
        method, colon, option = name.partition(":")
        if not colon or method not in known:
            msg = (
                f"--option {text}: give METHOD:NAME=VALUE with a method that is run "
                f"({', '.join(sorted(known))})"
            )
            raise CryoswayError(msg)
        found.setdefault(method, {})[option] = value
    return found


def _split(text: str, option: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise CryoswayError(f"{option} {text}: give it as {wanted}")
    return name, value
