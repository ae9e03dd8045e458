"""The benchmark's states: what moves, what is missing, and that nothing runs through another."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryosway import CryoswayError
from cryosway.protein import write_structure
from cryosway.simulate import ASSEMBLY_COUNTS, BENCHMARK_KINDS, build_benchmark_states

COUNTS = {"hinge": 8, "linker": 6, "assembly": None, "unrelated": 5, "kinase": 4}


@pytest.fixture(scope="module")
def built():
    return {kind: build_benchmark_states(kind, COUNTS[kind]) for kind in BENCHMARK_KINDS}


@pytest.mark.parametrize("kind", BENCHMARK_KINDS)
def test_states_have_a_row_each_and_lie_about_the_origin(built, kind):
    found = built[kind]
    assert len(found.atoms) == len(found.table) == (COUNTS[kind] or 16)
    middle = np.mean(
        [np.average(a.coordinates, axis=0, weights=a.atomic_numbers) for a in found.atoms], axis=0
    )
    np.testing.assert_allclose(middle, 0, atol=1e-9)
    assert found.radius < 95


@pytest.mark.parametrize("kind", ["hinge", "linker", "assembly"])
def test_chains_do_not_run_through_each_other(built, kind):
    for atoms in [built[kind].model, *built[kind].atoms]:
        parts = [atoms.coordinates[atoms.chains == chain] for chain in np.unique(atoms.chains)]
        for number, part in enumerate(parts):
            for other in parts[number + 1 :]:
                assert cKDTree(part).query(other)[0].min() > 2.5


def test_the_arm_turns_in_equal_steps_about_one_axis(built):
    found = built["hinge"]
    arm = np.array([a.coordinates[a.chains == "C"].mean(axis=0) for a in found.atoms])
    body = [a.coordinates[a.chains != "C"] for a in found.atoms]
    assert all(np.array_equal(one, body[0]) for one in body)
    np.testing.assert_allclose(arm[:, 2], arm[0, 2])
    circle = arm[:, :2] - arm[:, :2].mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), np.linalg.norm(circle[0]))
    angle = np.unwrap(np.arctan2(circle[:, 1], circle[:, 0]))
    np.testing.assert_allclose(np.diff(angle), 2 * np.pi / 8)


def test_an_assembly_lacks_what_its_table_says(built):
    found = built["assembly"]
    weights = found.table["share"].to_numpy()
    np.testing.assert_allclose(weights, np.array(ASSEMBLY_COUNTS) / sum(ASSEMBLY_COUNTS))
    blocks = found.table.drop(columns=["state", "name", "share"]).sum(axis=1)
    chains = [len(np.unique(atoms.chains)) for atoms in found.atoms]
    np.testing.assert_array_equal(chains, blocks + 1)  # and the core


def test_unrelated_structures_differ_and_may_be_given(built, tmp_path):
    sizes = {len(atoms) for atoms in built["unrelated"].atoms}
    assert len(sizes) > 3
    for number, atoms in enumerate(built["kinase"].atoms[:2]):
        write_structure(tmp_path / f"{number}.cif", atoms)
    found = build_benchmark_states("unrelated", 2, structures=tmp_path)
    assert [len(atoms) for atoms in found.atoms] == [1656, 1656]
    with pytest.raises(CryoswayError, match="has 2 structures but 3"):
        build_benchmark_states("unrelated", 3, structures=tmp_path)
    with pytest.raises(CryoswayError, match="16 states, not 4"):
        build_benchmark_states("assembly", 4)


def test_seeds_are_kept(built):
    again = build_benchmark_states("linker", 6)
    other = build_benchmark_states("linker", 6, seed=1)
    first = built["linker"].atoms[3].coordinates
    np.testing.assert_array_equal(again.atoms[3].coordinates, first)
    assert not np.allclose(other.atoms[3].coordinates, first)
