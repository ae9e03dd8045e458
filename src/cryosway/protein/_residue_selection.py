"""Residues by name, as ChimeraX spells them: ``/A:50-60,72/B:10``."""

import re

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.protein._coarse import CoarseModel

IndexArray = NDArray[np.intp]
Place = tuple[int, str]

_PART = re.compile(r"/?(?P<chains>[^/:\s]*)(?::(?P<residues>[^/:\s]+))?")
_RANGE = re.compile(r"(-?\d+)([A-Za-z]?)(?:-(-?\d+)([A-Za-z]?))?")
_HOW = "write it as ChimeraX does: /A:50-60, /A:5,7-9/B:12, /A,B or :50-60"


def select_residues(model: CoarseModel, text: str) -> IndexArray:
    """Find the beads of the residues that a specification names.

    The syntax is ChimeraX's: ``/`` and chains, ``:`` and residue numbers or ranges, both separated
    by commas; several such parts are joined. Without chains, all; without residues, whole chains;
    the first ``/`` may be left out. Numbers are the author's, with insertion codes as ``52A``.

    Parameters
    ----------
    model
        With N beads.
    text
        As ``/A:50-60``.

    Returns
    -------
    Shape (n,): beads in the order of the model, each once.

    Raises
    ------
    CryoswayError
        When it is no such specification, or names a chain or residues that are not there.
    """
    found = np.zeros(len(model), bool)
    at = 0
    while at < len(text.strip()):
        part = _PART.match(text.strip(), at)
        if part is None or part.end() == at or not any(part.groupdict().values()):
            raise CryoswayError(f"{text!r} names no residues: {_HOW}")
        found |= _select_part(model, text, part["chains"], part["residues"])
        at = part.end()
    if not found.any():
        raise CryoswayError(f"{text!r} names no residues: {_HOW}")
    return np.flatnonzero(found)


def describe_residues(model: CoarseModel, beads: IndexArray) -> str:
    """Name residues as `select_residues` and ChimeraX read them.

    Parameters
    ----------
    model
        With N beads.
    beads
        Shape (n,), ascending. A range holds beads that follow each other in the model.
    """
    parts: dict[str, list[str]] = {}
    breaks = (np.diff(beads) > 1) | (model.chains[beads[1:]] != model.chains[beads[:-1]])
    for run in np.split(beads, np.flatnonzero(breaks) + 1):
        first, last = (_name_residue(model, run[end]) for end in (0, -1))
        spelt = first if first == last else f"{first}-{last}"
        parts.setdefault(str(model.chains[run[0]]), []).append(spelt)
    return "".join(f"/{chain}:{','.join(ranges)}" for chain, ranges in parts.items())


def _name_residue(model: CoarseModel, bead: int) -> str:
    return f"{model.residue_numbers[bead]}{model.insertion_codes[bead]}"


def _select_part(
    model: CoarseModel, text: str, chains: str, residues: str | None
) -> NDArray[np.bool_]:
    here = np.ones(len(model), bool)
    if chains:
        wanted = chains.split(",")
        there = list(dict.fromkeys(model.chains.tolist()))
        for chain in wanted:
            if chain not in there:
                msg = f"{text!r}: there is no chain {chain!r}; there are {', '.join(there)}"
                raise CryoswayError(msg)
        here = np.isin(model.chains, wanted)
    if residues is None:
        return here
    places = list(zip(model.residue_numbers.tolist(), model.insertion_codes.tolist(), strict=True))
    named = np.zeros(len(model), bool)
    for span in residues.split(","):
        low, high = _read_range(text, span)
        inside = here & np.array([low <= place <= high for place in places])
        if not inside.any():
            numbers = model.residue_numbers[here]
            msg = f"{text!r}: there are no residues {span}; numbers go from "
            raise CryoswayError(msg + f"{numbers.min()} to {numbers.max()}")
        named |= inside
    return named


def _read_range(text: str, span: str) -> tuple[Place, Place]:
    """Read ``50``, ``50-60`` or ``52A-53``: first and last place, insertion codes in order."""
    match = _RANGE.fullmatch(span)
    if match is None:
        raise CryoswayError(f"{text!r}: {span!r} is no residue or range: {_HOW}")
    low = (int(match[1]), match[2])
    high = low if match[3] is None else (int(match[3]), match[4])
    if high < low:
        raise CryoswayError(f"{text!r}: the range {span} runs backwards; exchange its ends")
    return low, high
