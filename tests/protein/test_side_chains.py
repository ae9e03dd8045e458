import numpy as np

from cryosway.protein._side_chains import (
    group_residues,
    measure_torsion,
    rebuild_side_chains,
    swap_symmetric_atoms,
)


def pick(table, name):
    return table[table.residue_names == name]


def test_torsion_is_that_of_iupac():
    four = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.0], [0, 1.0, 1.0]])
    # Looking along the middle bond, the far bond is turned by +90° where clockwise.
    assert np.isclose(abs(measure_torsion(four)), np.pi / 2)
    four[3] = [1.0, 0, 1.0]
    assert np.isclose(measure_torsion(four), 0.0)


def test_ends_are_reproduced(kinase):
    start, end = kinase
    times = np.array([0.0, 1.0])
    rebuilt = rebuild_side_chains(np.stack([start.coordinates, end.coordinates]), times, start, end)
    np.testing.assert_allclose(rebuilt[0], start.coordinates, atol=1e-6)
    np.testing.assert_allclose(rebuilt[1], swap_symmetric_atoms(start, end), atol=1e-6)


def test_rotamer_turns_about_its_bond_without_shortening(kinase):
    lysine = kinase[0]
    rows = next(r for r in group_residues(lysine) if lysine.residue_names[r[0]] == "LYS")
    start = lysine[rows]
    flipped = start.coordinates.copy()
    named = {name: i for i, name in enumerate(start.atom_names.tolist())}
    origin, axis = flipped[named["CB"]], flipped[named["CB"]] - flipped[named["CA"]]
    axis = axis / np.linalg.norm(axis)
    for name in ("CG", "CD", "CE", "NZ"):  # 150° about CA–CB, by Rodrigues' formula
        v = flipped[named[name]] - origin
        c, s = np.cos(np.radians(150)), np.sin(np.radians(150))
        flipped[named[name]] = origin + v * c + np.cross(axis, v) * s + axis * (axis @ v) * (1 - c)
    end = start.with_coordinates(flipped)
    times = np.linspace(0, 1, 7)
    line = np.stack([(1 - t) * start.coordinates + t * flipped for t in times])
    rebuilt = rebuild_side_chains(line, times, start, end)
    bond = [named["CB"], named["CG"]]
    lengths = np.linalg.norm(rebuilt[:, bond[0]] - rebuilt[:, bond[1]], axis=1)
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-6)
    on_the_line = np.linalg.norm(line[:, bond[0]] - line[:, bond[1]], axis=1)
    assert on_the_line.min() < 0.8 * lengths[0]


def test_flipped_ring_is_named_alike_before_it_is_morphed(kinase):
    start = kinase[0]
    swapped = start.coordinates.copy()
    rows = next(r for r in group_residues(start) if start.residue_names[r[0]] == "PHE")
    named = {str(start.atom_names[row]): row for row in rows}
    for a, b in (("CD1", "CD2"), ("CE1", "CE2")):
        swapped[[named[a], named[b]]] = swapped[[named[b], named[a]]]
    restored = swap_symmetric_atoms(start, start.with_coordinates(swapped))
    np.testing.assert_array_equal(restored, start.coordinates)
