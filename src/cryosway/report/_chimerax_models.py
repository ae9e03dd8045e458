"""Commands of ChimeraX that show atomic models as a morph, coloured by what moves."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosway.engine import write_atomically
from cryosway.report._style import RED, domain_colours

DISPLACEMENT_NAME = "displacement.defattr"
_PALETTE = "white:cornflowerblue:navy"
_AXIS_ANGSTROM = 25.0  # from its middle to either end


@dataclass(frozen=True)
class ModelFile:
    """A file with models, and what ``models.json`` says of it.

    Attributes
    ----------
    path : Path
        The file.
    entry : dict
        Its entry.
    """

    path: Path
    entry: dict[str, Any]

    @property
    def count(self) -> int:
        """How many models it holds."""
        return len(self.entry.get("states", []))


def write_displacement(path: Path, residues: Sequence[str], displacement: Sequence[float]) -> None:
    """Write an attribute file of ChimeraX with the displacement of every residue.

    Parameters
    ----------
    path : Path
        Its name ends in ``.defattr``.
    residues : sequence of str
        Residues in ChimeraX's syntax, as ``/A:50``.
    displacement : sequence of float
        Å.
    """
    lines = ["attribute: displacement", "recipient: residues"]
    lines += [f"\t{name}\t{value:.3f}" for name, value in zip(residues, displacement, strict=True)]
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def quote(root: Path, path: Path) -> str:
    """Write a path as a script in a folder names it: relative, in quotation marks."""
    relative = Path(os.path.relpath(path, root)).as_posix()
    return '"' + relative.replace("\\", "\\\\").replace('"', '\\"') + '"'


def open_models(quoted: str, item: ModelFile, number: int) -> list[str]:
    """Open models as one with several sets of coordinates, or as it is where there is one."""
    several = item.count > 1
    label = item.path.stem.replace("_", " ")
    return [
        f"# {label}: {f'{item.count} models, a slider opens below' if several else 'a model'}",
        f"open {quoted}" + (" coordsets true" if several else ""),
        f"hide #{number} atoms",
        f"cartoon #{number}",
    ]


def colour_by_motion(number: int, motions: dict[str, Any], quoted_attribute: str) -> list[str]:
    """Colour a model by rigid domain, or by displacement where there are none.

    Parameters
    ----------
    number : int
        Of the model.
    motions : dict
        ``motions.json``; empty where nothing is known.
    quoted_attribute : str
        The attribute file, as a script names it.
    """
    if not motions:
        return []
    domains = motions.get("domains", [])
    colours = domain_colours(len(domains))
    by_domain = [
        f"color #{number}{domain['residues']} {colour}"
        for domain, colour in zip(domains, colours, strict=True)
    ]
    most = max(float(motions["displacement_angstrom"]["largest"]), 0.1)
    by_displacement = [
        f"open {quoted_attribute}",
        f"color byattribute r:displacement #{number} palette {_PALETTE} range 0,{most:.2f}",
    ]
    if not by_domain:
        return by_displacement
    hint = "# by how far residues move, instead of by domain:"
    return [*by_domain, hint, *(f"# {line}" for line in by_displacement)]


def draw_axes(motions: dict[str, Any]) -> list[str]:
    """Draw the screw axes of domains."""
    lines = []
    for motion in motions.get("motions", []):
        line = list(zip(motion["point"], motion["axis"], strict=True))
        ends = [[p + reach * n for p, n in line] for reach in (-_AXIS_ANGSTROM, _AXIS_ANGSTROM)]
        first, last = (",".join(f"{x:.2f}" for x in end) for end in ends)
        lines += [
            f"# axis of domain {motion['domain']}",
            f"shape cylinder radius 0.6 fromPoint {first} toPoint {last} color {RED}",
        ]
    return lines


def play_models(number: int, item: ModelFile) -> list[str]:
    """Open the slider of a morph; last in a script, since it needs a window."""
    if item.count < 2:
        return []
    return [
        f"coordset slider #{number}",
        f"# coordset #{number} 1,{item.count} bounce true loop 5 pauseFrames 3",
    ]
