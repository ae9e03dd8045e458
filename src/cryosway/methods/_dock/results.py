"""The files of a finished `dock`: models, numbers, sentences, pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryosway.engine import JobFolder, write_json
from cryosway.methods._dock.agreement import Agreement, measure_agreement
from cryosway.methods._dock.assembly import Absent, Assembler
from cryosway.methods._dock.bodies import Placed
from cryosway.methods._dock.explained import Explained
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import Placement
from cryosway.methods._options import Confidence
from cryosway.methods._protein.confidence import carry_scores, join_scores
from cryosway.particles import write_map
from cryosway.protein import AtomTable, assemble_structures, move_structure
from cryosway.report import draw_docking, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

#: How far the next placement should be behind.
_CLEAR_GAP = 0.05
#: How much coarser than the best body one may agree with the map that is where it was put.
_COARSER = 1.5
_LISTED = 10
_CAPTION = (
    "Map (grey, summed along an axis), models by chain, and density that none explains (red); "
    "agreement of map and models; share of the density that each explains."
)


@dataclass(frozen=True, eq=False)
class DockingResult:
    """What was placed, how well, and what it explains.

    Attributes
    ----------
    placed, agreements
        Every copy, and how far it agrees with the map without the others.
    absent
        What is not there.
    explained
        Shares of the density.
    image, mirrored
        The map, or its mirror.
    agreement
        Of all together.
    first
        Placements of the first body that was placed, in both hands.
    """

    placed: list[Placed]
    agreements: list[Agreement]
    absent: list[Absent]
    explained: Explained
    image: DockingMap
    smooth: DockingMap
    mirrored: bool
    agreement: Agreement
    first: list[Placement]

    @classmethod
    def of(
        cls, assembler: Assembler, agreements: list[Agreement], explained: Explained
    ) -> "DockingResult":
        """Take what an assembler has found."""
        placed = assembler.placed
        joint = agreements[0]
        if len(placed) > 1:
            joint = measure_agreement(
                AtomTable.concatenate([one.atoms for one in placed]), assembler.image
            )
        return cls(
            placed, agreements, assembler.absent, explained, assembler.image,
            assembler.smooth.image, assembler.mirrored, joint, assembler.first,
        )  # fmt: skip

    @property
    def other_hand(self) -> float | None:
        """Best correlation of the first body with the other hand, where it was looked for."""
        scores = [p.correlation for p in self.first if p.mirrored != self.mirrored]
        return max(scores, default=None)

    def summarise(self, chains: list[list[str]]) -> dict[str, Any]:
        """Give the numbers for docking.json; `chains` are those of each copy in docked.cif."""
        leader = self.placed[0]
        return {
            "rotation": leader.placement.rotation,
            "translation": leader.translation,
            "mirrored": self.mirrored,
            "correlation": leader.placement.correlation,
            "next": leader.following,
            "other_hand": self.other_hand,
            "fit_resolution_angstrom": leader.body.plan.fine,
            "low_pass_angstrom": self.agreement.resolution,
            "placements": [self._describe_placement(p) for p in self.first[:_LISTED]],
            "fsc": self.agreement.as_curve(),
            "bodies": [self._describe_body(n, names) for n, names in enumerate(chains)],
            "absent": [
                {
                    "model": str(one.body.path), "wanted": one.body.copies, "found": one.found,
                    "correlation": one.correlation, "filled": one.filled,
                }
                for one in self.absent
            ],
            "explained": 1 - self.explained.unexplained,
            "unexplained": [
                {
                    "share": blob.share, "volume_angstrom3": blob.volume,
                    "kilodalton": blob.kilodalton, "position": blob.position,
                }
                for blob in self.explained.blobs
            ],
        }  # fmt: skip

    def _describe_placement(self, placement: Placement) -> dict[str, Any]:
        moved = Placed(self.placed[0].body, placement)
        return {
            "rotation": placement.rotation,
            "translation": moved.translation,
            "mirrored": placement.mirrored,
            "correlation": placement.correlation,
        }

    def _describe_body(self, number: int, chains: list[str]) -> dict[str, Any]:
        one = self.placed[number]
        return {
            "model": str(one.body.path),
            "chains": chains,
            "rotation": one.placement.rotation,
            "translation": one.translation,
            "correlation": one.placement.correlation,
            "next": one.following,
            "resolution_angstrom": self.agreements[number].resolution,
            "density": one.scale / max(other.scale for other in self.placed),
            "explained": self.explained.shares[number],
        }

    def sentences(self) -> list[str]:
        """Say what was found."""
        return [*self._say_placed(), *self._say_hand(), *self._say_doubts(), *self._say_rest()]

    def _say_placed(self) -> list[str]:
        best = self.placed[0]
        hand = "the mirror of the map" if self.mirrored else "the map"
        at = f"at {best.body.plan.fine:.0f} Å"
        if len(self.placed) == 1:
            fit = f"a correlation of {best.placement.correlation:.2f} {at}"
            return [f"The model fits {hand} with {fit}."]
        scores = [one.placement.correlation for one in self.placed]
        fits = f"correlations of {min(scores):.2f} to {max(scores):.2f} {at}"
        return [f"{len(self.placed)} models were placed in {hand}, with {fits}."]

    def _say_hand(self) -> list[str]:
        lines = []
        if self.other_hand is not None:
            gap = self.placed[0].placement.correlation - self.other_hand
            sure = "clearly" if gap > _CLEAR_GAP else "NOT clearly"
            lines.append(
                f"The other hand fits with {self.other_hand:.2f}: the hand is {sure} told."
            )
        if self.mirrored:
            lines.append(
                "So the map has the wrong hand: volumes/mirrored.mrc has the right one, and the "
                "poses that made the map are to be mirrored."
            )
        return lines

    def _say_doubts(self) -> list[str]:
        """Say what is not in the map, and what is not surely where it was put."""
        lines = [_say_absent(one) for one in self.absent]
        best = self.placed[0]
        if len(self.placed) == 1 and best.following is not None:
            sure = best.placement.correlation - best.following > _CLEAR_GAP
            end = "." if sure else ": a symmetric molecule, or an unsure fit."
            lines.append(f"The next placement has {best.following:.2f}{end}")
        if len(self.placed) > 1:
            limit = min(agreement.resolution for agreement in self.agreements)
            lines += [
                f"{one.body.name} is NOT surely what lies where it was put: it agrees with the map "
                f"to {agreement.resolution:.1f} Å, others to {limit:.1f} Å."
                for one, agreement in zip(self.placed, self.agreements, strict=True)
                if agreement.resolution > _COARSER * limit
            ]
        return lines

    def _say_rest(self) -> list[str]:
        limit, left = self.agreement.resolution, self.explained
        share = f"{100 * (1 - left.unexplained):.0f} % of the density within the solvent mask"
        lines = [
            f"Model and map agree to {limit:.1f} Å (FSC 0.5, masked, corrected).",
            f"{share} is explained.",
        ]
        if left.blobs:
            blob = left.blobs[0]
            x, y, z = blob.position
            count = len(left.blobs)
            lines.append(
                f"Density that no model explains: {count} piece{'s' * (count > 1)}, the largest "
                f"of {blob.volume:,.0f} Å³ (as {blob.kilodalton:.0f} kDa of protein) at "
                f"({x:.0f}, {y:.0f}, {z:.0f}) Å."
            )
        return lines


def _say_absent(one: Absent) -> str:
    why = "the others leave too little density for it"
    if one.correlation is not None:
        why = f"where it fits best the correlation is {one.correlation:.2f}"
        if one.filled < 1:
            why += f", and {100 * one.filled:.0f} % of its inside is in density that is left"
    if one.found:
        return f"Of {one.body.name}, {one.found} of {one.body.copies} copies are in the map: {why}."
    return f"{one.body.name} is NOT in the map: {why}."


def write_docking(
    job: JobFolder, result: DockingResult, path: Path, confidence: Confidence
) -> None:
    """Write models, numbers, picture, session and what the report says."""
    docked = job.path / "models" / "docked.cif"
    docked.parent.mkdir(exist_ok=True)
    chains = _write_models(result.placed, docked, confidence)
    shown = path.resolve()
    if result.mirrored:
        (job.path / "volumes").mkdir(exist_ok=True)
        shown = Path("volumes") / "mirrored.mrc"
        x, y, z = result.image.origin
        write_map(job.path / shown, result.image.density, result.image.pixel_size, (x, y, z))
    numbers = result.summarise(chains)
    write_json(job.path / "docking.json", numbers)
    write_figure(job.path / "figures" / "docking.png", _draw(result, chains))
    lines = result.sentences()
    for line in lines:
        job.log(line)
    supplement = {
        "title": "Docking",
        "sentences": lines,
        "figures": [{"file": "figures/docking.png", "caption": _CAPTION}],
        **_make_table(numbers),
    }
    write_json(job.path / "supplement.json", supplement)
    _write_session(job.path, shown)
    kept = ("correlation", "next", "other_hand", "mirrored", "low_pass_angstrom", "explained")
    counts = {"placed": len(result.placed), "absent": len(result.absent)}
    job.update(docking={name: numbers[name] for name in kept} | counts)


def _write_models(placed: list[Placed], path: Path, confidence: Confidence) -> list[list[str]]:
    """Write the docked model with its confidences; give the names of every copy's chains."""
    if len(placed) == 1:
        one = placed[0]
        move_structure(one.body.path, path, one.placement.rotation, one.translation)
        carry_scores(one.body.path, confidence, path)
        return [list(dict.fromkeys(one.atoms.chains.tolist()))]
    parts = [(one.body.path, one.placement.rotation, one.translation) for one in placed]
    names = assemble_structures(parts, path)
    join_scores([one.body.path for one in placed], confidence, path)
    return names


def _make_table(numbers: dict[str, Any]) -> dict[str, Any]:
    """Tabulate what each copy explains, and what is left."""
    rows: list[list[Any]] = []
    for body in numbers["bodies"]:
        name = Path(body["model"]).name
        rows.append(
            [
                f"{name}, chain {' '.join(body['chains'])}", body["correlation"],
                body["resolution_angstrom"], body["density"], _percent(body["explained"]), None,
            ]
        )  # fmt: skip
    for absent in numbers["absent"]:
        name = f"{Path(absent['model']).name}: not in the map"
        rows.append([name, absent["correlation"], None, None, None, None])
    for number, blob in enumerate(numbers["unexplained"], start=1):
        x, y, z = blob["position"]
        name = f"unexplained piece {number}, at ({x:.0f}, {y:.0f}, {z:.0f}) Å"
        rows.append([name, None, None, None, _percent(blob["share"]), blob["kilodalton"]])
    header = ["model", "correlation", "agrees to (Å)", "density, of the strongest",
              "explains (%)", "as protein (kDa)"]  # fmt: skip
    return {"header": header, "rows": rows}


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _draw(result: DockingResult, chains: list[list[str]]) -> "Figure":
    trace = [one.atoms.select_atoms(["CA", "C1'"]) for one in result.placed]
    colours = [
        names[0] for names, part in zip(chains, trace, strict=True) for _ in range(len(part))
    ]
    if len(result.placed) == 1:
        colours = trace[0].chains.tolist()
    shares = {
        f"{names[0]}": share for names, share in zip(chains, result.explained.shares, strict=True)
    }
    return draw_docking(
        result.smooth.density,
        result.smooth.pixel_size,
        result.smooth.origin,
        np.concatenate([part.coordinates for part in trace]),
        colours,
        result.agreement.as_curve(),
        left=result.explained.left,
        shares=shares,
    )


def _write_session(folder: Path, shown: Path) -> None:
    """Write a ChimeraX script that opens the map and the docked model."""
    lines = [
        "# ChimeraX script written by cryosway: open it with File > Open",
        "set bgColor white",
        "lighting soft",
        f'open "{shown}"',
        "open models/docked.cif",
        "volume #1 style surface transparency 0.6",
        "view",
        "",
    ]
    (folder / "session.cxc").write_text("\n".join(lines), encoding="utf-8")
