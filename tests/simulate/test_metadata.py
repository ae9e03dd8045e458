import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.optics import relion_euler_to_matrix, rotation_angle
from cryosway.simulate._metadata import PARTICLE, draw_particles


def matrices(table):
    return relion_euler_to_matrix(table["rot"], table["tilt"], table["psi"])


def test_populations_are_followed(options):
    truth = draw_particles(options(n=20_000, populations=(1.0, 3.0)), 2).truth
    assert truth["state"].mean() == pytest.approx(0.75, abs=0.01)
    assert sorted(truth["coordinate"].unique()) == [0.0, 1.0]


def test_views_are_uniform_on_the_sphere(options):
    r = matrices(draw_particles(options(n=20_000), 1).truth)
    assert np.abs(r.mean(axis=0)).max() < 0.02
    np.testing.assert_allclose((r**2).mean(axis=0), 1 / 3, atol=0.015)


def test_concentrated_views_have_the_mean_of_von_mises_fisher(options):
    kappa = 3.0
    truth = draw_particles(options(n=20_000, view_concentration=kappa), 1).truth
    expected = 1 / np.tanh(kappa) - 1 / kappa
    assert np.cos(np.radians(truth["tilt"])).mean() == pytest.approx(expected, abs=0.01)


def test_defocus_and_shifts_lie_in_their_ranges(options):
    truth = draw_particles(options(n=5_000, shift=12.0), 1).truth
    mean = (truth["defocus_u"] + truth["defocus_v"]) / 2
    assert mean.between(8_000, 25_000).all()
    assert (truth["defocus_u"] - truth["defocus_v"]).std() == pytest.approx(300, rel=0.05)
    assert truth[["shift_x", "shift_y"]].abs().max().max() <= 12.0
    normal = draw_particles(options(n=5_000, shift=5.0, shift_distribution="normal"), 1).truth
    assert normal["shift_x"].std() == pytest.approx(5.0, rel=0.05)


def test_written_metadata_are_true_without_errors(options):
    tables = draw_particles(options(n=50, shift=10.0), 1)
    common = [c for c in tables.written if c in tables.truth]
    assert tables.written[common].equals(tables.truth[common])


def test_errors_have_their_standard_deviations(options):
    tables = draw_particles(
        options(n=20_000, angle_error=2.0, shift_error=0.5, defocus_error=150.0), 1
    )
    angle = rotation_angle(matrices(tables.truth), matrices(tables.written))
    assert np.sqrt((angle**2).mean() / 3) == pytest.approx(2.0, rel=0.02)
    error = tables.written - tables.truth[tables.written.columns.intersection(tables.truth.columns)]
    assert error["shift_x"].std() == pytest.approx(0.5 * 3.0, rel=0.02)
    assert error["shift_y"].std() == pytest.approx(0.5 * 3.0, rel=0.02)
    assert error["defocus_u"].std() == pytest.approx(150.0, rel=0.02)
    np.testing.assert_allclose(error["defocus_u"], error["defocus_v"], atol=1e-8)


def test_wrong_poses_are_marked_and_only_they_are_wrong(options):
    tables = draw_particles(options(n=10_000, wrong_pose_fraction=0.1), 1)
    wrong = tables.truth["wrong_pose"].to_numpy()
    assert wrong.mean() == pytest.approx(0.1, abs=0.01)
    angle = rotation_angle(matrices(tables.truth), matrices(tables.written))
    assert angle[~wrong].max() < 1e-5
    assert np.median(angle[wrong]) > 90


def test_junk_has_its_fraction_and_kinds(options):
    truth = draw_particles(options(n=10_000, junk_fraction=0.2), 1).truth
    junk = truth["label"] != PARTICLE
    assert junk.mean() == pytest.approx(0.2, abs=0.015)
    assert set(truth["label"][junk]) == {"noise", "ice", "overlap", "broken"}


def test_half_sets_are_equal_and_known(options):
    written = draw_particles(options(n=101), 1).written
    assert sorted(written["half"].value_counts()) == [50, 51]


def test_one_option_does_not_change_what_others_drew(options):
    plain = draw_particles(options(), 3).truth
    changed = draw_particles(options(junk_fraction=0.5, shift=5.0, defocus_error=100.0), 3).truth
    assert plain[["rot", "tilt", "psi", "state", "defocus_u"]].equals(
        changed[["rot", "tilt", "psi", "state", "defocus_u"]]
    )


@pytest.mark.parametrize("name", ["populations", "coordinates"])
def test_wrong_number_of_values_is_said(options, name):
    with pytest.raises(CryoswayError, match=f"{name} has 2 values but there are 3 states"):
        draw_particles(options(**{name: (0.5, 0.5)}), 3)


def test_without_ctf_the_written_parameters_mean_a_ctf_of_one(options):
    truth = draw_particles(options(ctf=False), 1).truth
    assert (truth["amplitude_contrast"] == 1).all()
    assert (truth[["cs", "defocus_u", "defocus_v", "phase_shift"]] == 0).all().all()
