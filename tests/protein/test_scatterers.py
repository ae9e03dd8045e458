"""Gaussians on a linear map scatter like the atoms."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway.protein import coarse_grain, read_structure

DATA = Path(__file__).parents[1] / "data" / "structures"


def transform(points, amplitudes, sigmas, k):
    damping = np.exp(-2 * np.pi**2 * (k**2).sum(1)[:, None] * np.square(sigmas))
    return (np.exp(-2j * np.pi * k @ points.T) * damping) @ amplitudes


@pytest.fixture(scope="module")
def model():
    return coarse_grain(read_structure(DATA / "4v5d_excerpt.cif.gz"))


@pytest.mark.parametrize("detail", ["residue", "split", "atom"])
def test_all_that_scatters_is_there_and_turns_with_the_beads(model, detail):
    found = model.scatterers(detail)
    added = model.amplitudes.sum() - model.strengths[model.carried_residue < 0].sum()
    assert found.amplitudes.sum() == pytest.approx(model.strengths.sum() + added)
    at_rest = found.centres(model.coordinates)
    centre = model.strengths @ model.atoms.coordinates
    np.testing.assert_allclose((found.amplitudes @ at_rest)[0], centre[0], rtol=0.02)
    rotation = Rotation.from_rotvec([1.0, -2.0, 0.3]).as_matrix()
    turned = found.centres(model.coordinates @ rotation.T + [7, 8, 9])
    np.testing.assert_allclose(turned, at_rest @ rotation.T + [7, 8, 9], atol=1e-4)


def test_strands_that_part_take_their_bases_along():
    """Helix 44 of 16S RNA: its strands move apart by 4 Å, each as it is."""
    path = DATA / "4v5d_excerpt.cif.gz"
    atoms = read_structure(path, ligands=False).select_chains(["AA"])
    model = coarse_grain(atoms)
    first, second = model.residue_numbers < 1450, atoms.residue_numbers >= 1450
    apart = model.coordinates[~first].mean(0) - model.coordinates[first].mean(0)
    move = 2 * apart / np.linalg.norm(apart)
    x = atoms.coordinates + np.where(second[:, None], move, -move)
    parted = coarse_grain(atoms.with_coordinates(x))
    found, true = model.scatterers("split"), parted.scatterers("split")
    off = found.centres(parted.coordinates) - true.centres(parted.coordinates)
    share = found.amplitudes / found.amplitudes.sum()
    assert np.sqrt(share @ (off**2).sum(1)) < 0.5


@pytest.mark.parametrize(
    ("detail", "resolution", "least"),
    [("residue", 15, 0.98), ("split", 10, 0.98), ("split", 7, 0.93), ("atom", 4, 0.999)],
)
def test_the_transform_is_that_of_the_atoms(kinase, rng, detail, resolution, least):
    model = coarse_grain(kinase[0])
    found = model.scatterers(detail)
    k = rng.normal(size=(300, 3))
    k /= resolution * np.linalg.norm(k, axis=1)[:, None]
    truth = transform(kinase[0].coordinates, model.strengths, model.atom_width, k)
    ours = transform(found.centres(model.coordinates), found.amplitudes, found.sigmas, k)
    norm = np.linalg.norm(truth) * np.linalg.norm(ours)
    assert (truth @ ours.conj()).real / norm > least
