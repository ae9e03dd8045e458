"""A tiny ESMFold learns one protein by heart: do the losses and the network's gradients work?

Crambin (46 residues), from random weights, by FAPE and the lDDT head's cross-entropy. Cα RMSD falls
from about 10 Å to about 2 Å in 200 steps, and below 1 Å later.

    python benchmarks/protein_overfit.py crambin.pdb --steps 200
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from cryosway.protein import find_superposition, measure_tm, read_prediction
from cryosway.protein.folding import (
    backbone_frames,
    frame_aligned_point_error,
    lddt_by_residue,
    lddt_loss,
    make_esmfold,
)

ALPHA = 1  # of the 14 or 37 atoms


def overfit(
    network, letters: str, backbone: torch.Tensor, *, steps: int, rate: float, report: int
) -> list[dict[str, float]]:
    """Train a network on one structure; a row of scores at every `report` steps."""
    from transformers.models.esm.openfold_utils import residue_constants

    kinds = torch.tensor([[residue_constants.restype_order[letter] for letter in letters]])
    true = backbone[None].float()
    true_frames = backbone_frames(true)
    learnt = [p for name, p in network.named_parameters() if not name.startswith("esm.")]
    optimiser = torch.optim.Adam(learnt, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 20, 1.0, max(0.05, 2 * (1 - step / steps)))
    )
    rows, began = [], time.perf_counter()
    for step in range(steps + 1):
        out = network(kinds, num_recycles=0)
        # Every block of the structure module is judged, the last one most, as AlphaFold does.
        blocks = [
            frame_aligned_point_error(
                (mine := backbone_frames(atoms[:, :, :3])), mine[1], true_frames, true[:, :, ALPHA],
                clamp=None if step < steps // 4 else 10.0,
            )
            for atoms in out["positions"]
        ]  # fmt: skip
        alpha = out["positions"][-1][:, :, ALPHA]
        confidence = lddt_loss(out["lddt_head"][-1][:, :, ALPHA], alpha, true[:, :, ALPHA])
        loss = blocks[-1] + 0.5 * torch.stack(blocks).mean(0) + 0.01 * confidence
        if step % report == 0:
            rows.append(measure(out, alpha[0], true[0, :, ALPHA], step, began))
            print(" ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
        optimiser.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        schedule.step()
    return rows


@torch.no_grad()
def measure(out, alpha, true, step: int, began: float) -> dict[str, float]:
    """Compare the structure with the truth, and pLDDT with the true lDDT."""
    found, wanted = alpha.double().numpy(), true.double().numpy()
    return {
        "step": step,
        "seconds": time.perf_counter() - began,
        "rmsd": find_superposition(found, wanted).rmsd,
        "tm": measure_tm(found, wanted)[0],
        "lddt": float(lddt_by_residue(alpha, true).mean()),
        "plddt": float(out["plddt"][0, :, ALPHA].mean()),
    }


def read_backbone(path: Path) -> tuple[str, torch.Tensor]:
    """Read the letters and the backbone (L, 3, 3), Å, of a structure's only chain."""
    model = read_prediction(path)
    atoms = [model.atoms.select_atoms([name]).coordinates for name in ("N", "CA", "C")]
    backbone = np.stack(atoms, axis=1)
    return model.sequence, torch.from_numpy(backbone - backbone.mean((0, 1)))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structure", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--report", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    letters, backbone = read_backbone(given.structure)
    network = make_esmfold("tiny", seed=given.seed)
    print(f"{sum(p.numel() for p in network.parameters())} weights, {len(letters)} residues")
    overfit(network, letters, backbone, steps=given.steps, rate=given.rate, report=given.report)


if __name__ == "__main__":
    main()
