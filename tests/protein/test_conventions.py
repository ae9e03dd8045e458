"""The conventions of docs/conventions.md for predictions, each against another's definition."""

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch

from cryosway.protein import read_prediction, write_structure
from cryosway.protein.folding import PairDistributions, expected_errors, predicted_tm
from cryosway.protein.folding._geometry_fold import _Energy, virtual_beta

LENGTH = 24


@pytest.fixture(scope="module")
def backbone(kinase):
    chain = kinase[0].select_chains(["A"])
    rows = [chain.select_atoms([name]).coordinates[:LENGTH] for name in ("N", "CA", "C")]
    return np.stack(rows, axis=1)


def by_gemmi(measure, *points):
    return np.degrees(measure(*(gemmi.Position(*point) for point in points)))


def bins(degrees, first, count):
    """Give one-hot bins of 15°; bin 0 stays empty."""
    place = 1 + int((degrees - first) // 15) % (count - 1)
    return np.eye(count)[place]


def predict(backbone, turn):
    """Say with certainty what lies between residues, angles measured by gemmi."""
    n, alpha = backbone[:, 0], backbone[:, 1]
    beta = virtual_beta(torch.from_numpy(backbone)).numpy()
    shares = {"distance": 37, "omega": 25, "theta": 25, "phi": 13}
    found = {name: np.zeros((LENGTH, LENGTH, count)) for name, count in shares.items()}
    for i, j in np.argwhere(~np.eye(LENGTH, dtype=bool)):
        apart = np.linalg.norm(beta[i] - beta[j])
        found["distance"][i, j, min(36, 1 + int((apart - 2) // 0.5)) if apart < 20 else 0] = 1
        a, b = (i, j) if turn == "of the row" else (j, i)
        omega = by_gemmi(gemmi.calculate_dihedral, alpha[i], beta[i], beta[j], alpha[j])
        theta = by_gemmi(gemmi.calculate_dihedral, n[a], alpha[a], beta[a], beta[b])
        phi = by_gemmi(gemmi.calculate_angle, alpha[a], beta[a], beta[b])
        found["omega"][i, j] = bins(omega, -180, 25)
        found["theta"][i, j] = bins(theta, -180, 25)
        found["phi"][i, j] = bins(phi, 0, 13)
    return PairDistributions(**{name: torch.from_numpy(x) for name, x in found.items()})


def test_theta_and_phi_of_trrosetta_turn_about_the_residue_of_the_row(backbone):
    """Theta(i, j) is N_i–Cα_i–Cβ_i–Cβ_j and phi(i, j) Cα_i–Cβ_i–Cβ_j, of IUPAC's sign."""
    atoms = torch.from_numpy(backbone)
    right, wrong = (
        float(_Energy(predict(backbone, turn)).predicted(atoms))
        for turn in ("of the row", "of the column")
    )
    mirrored = atoms * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    other_hand = float(_Energy(predict(backbone, "of the row")).predicted(mirrored))
    assert right < wrong - 20
    assert right < other_hand - 20


def certain_errors(errors):
    """Logits of a head that is sure of its errors, Å; its 64 bins are 0.5 Å wide."""
    return 50 * torch.nn.functional.one_hot((torch.as_tensor(errors) / 0.5).long(), 64).float()


def test_rows_of_the_pae_are_what_is_superposed():
    """As AlphaFold: seen from residue 0 all lie well, whatever others see of residue 0."""
    errors = np.full((40, 40), 30.0)
    errors[0] = 1.0
    logits = certain_errors(errors)
    assert expected_errors(logits)[0].max() < 2
    assert expected_errors(logits)[1:].min() > 20
    assert predicted_tm(logits) > 0.6
    assert predicted_tm(logits.transpose(0, 1)) < 0.1


@pytest.mark.parametrize("layout", ["matrix", "AlphaFold DB until 2022"])
def test_files_keep_the_direction_of_the_pae(kinase, tmp_path, layout):
    chain = kinase[0].select_chains(["A"]).select_atoms(["CA"])
    atoms = chain[np.arange(len(chain)) < 12]
    pae = np.arange(144.0).reshape(12, 12) / 10
    superposed, scored = np.indices(pae.shape) + 1
    old = {"residue1": superposed.ravel().tolist(), "residue2": scored.ravel().tolist(),
           "distance": pae.ravel().tolist()}  # fmt: skip
    data = {"pae": pae.tolist()} if layout == "matrix" else [old]
    (tmp_path / "scores.json").write_text(json.dumps(data))
    model = tmp_path / "model.cif"
    write_structure(model, replace(atoms, b_factors=np.full(12, 0.9)))
    found = read_prediction(model, tmp_path / "scores.json")
    np.testing.assert_allclose(found.pae, pae)
    np.testing.assert_allclose(found.plddt, 90.0)  # 0 to 100, whatever the file had
