import numpy as np
import pytest

from cryosway.simulate import Potential
from cryosway.simulate._scattering import electron_form_factor, molmap_form_factor


def test_molmap_falls_to_1_over_e_at_its_resolution():
    factor = molmap_form_factor(4.0)
    assert factor.evaluate(np.array([1 / 16.0]))[0] == pytest.approx(np.exp(-1), rel=2e-3)


def test_electron_factor_of_carbon_is_that_of_the_tables():
    # International Tables C, table 4.3.1.1: f(0) of carbon is 2.51 Å.
    assert electron_form_factor("C", 0.0).evaluate(np.zeros(1))[0] == pytest.approx(2.51, abs=0.01)


def test_bfactor_damps():
    plain, damped = (electron_form_factor("N", b) for b in (0.0, 100.0))
    s2 = np.array([0.01])
    ratio = damped.evaluate(s2) / plain.evaluate(s2)
    assert ratio[0] == pytest.approx(np.exp(-0.25))


def test_solvent_lowers_low_frequencies_and_keeps_high_ones():
    vacuum = electron_form_factor("C", 0.0)
    water = electron_form_factor("C", 0.0, solvent=True)
    s2 = np.array([0.0, 0.25])
    ratio = water.evaluate(s2) / vacuum.evaluate(s2)
    assert 0.2 < ratio[0] < 0.6
    assert ratio[1] > 0.95


def test_groups_hold_every_atom_once(blob):
    groups = Potential("electron").group(blob)
    assert sum(len(group.weights) for group in groups) == len(blob)
    assert len(groups) == len(set(blob.elements.tolist()))
    assert Potential().group(blob)[0].weights.sum() == blob.atomic_numbers.sum()


def test_unknown_element_counts_as_carbon():
    assert electron_form_factor("X", 0.0).amplitudes == electron_form_factor("C", 0.0).amplitudes
