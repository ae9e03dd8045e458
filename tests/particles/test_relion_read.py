"""RELION's STAR files of every version become the same particles."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning


def test_relion31(make):
    images = make.stack()
    rows = make.rows()
    p = cs.read_particles(make.star(rows=rows))
    values = np.array([row[2:11] for row in rows], float)
    expected = Rotation.from_euler("ZYZ", values[:, :3], degrees=True).inv().as_matrix()
    np.testing.assert_allclose(p.rotations, expected, atol=1e-12)
    np.testing.assert_array_equal(p.shifts, values[:, 3:5])
    np.testing.assert_array_equal(
        p.ctf[["defocus_u", "defocus_v", "defocus_angle"]], values[:, 5:8]
    )
    microscope = p.ctf[["voltage", "cs", "amplitude_contrast", "phase_shift", "bfactor", "scale"]]
    assert (microscope == [300, 2.7, 0.1, 0, 0, 1]).all(axis=None)
    assert (p.box, p.pixel_size, len(p), p.has_poses, p.has_ctf) == (8, 1.5, 6, True, True)
    assert p.half_sets.tolist() == [1, 2, 1, 2, 1, 2]
    assert p.contrast_sign is None
    np.testing.assert_array_equal(p.images(), images)
    assert p.source["micrograph"].tolist() == ["001"] * 6


def test_relion30_takes_pixel_size_from_the_magnification(make):
    p = cs.read_particles(make.star30())
    assert p.pixel_size == 1.25  # 5 µm / 40,000
    np.testing.assert_allclose(p.shifts[:2], [[1.25, 0], [-2.5, 1.875]])  # pixels → Å
    assert p.ctf["optics_group"].tolist() == [1, 1, 1, 1]
    assert (p.ctf["amplitude_contrast"] == 0.07).all()


def test_relion30_microscopes_become_optics_groups(make):
    p = cs.read_particles(make.star30(rlnVoltage=[300, 200, 300, 200]))
    assert p.ctf["optics_group"].tolist() == [1, 2, 1, 2]


def test_optics_groups_with_other_pixel_size_and_voltage(make):
    make.stack("a.mrcs", 3)
    make.stack("b.mrcs", 3, box=10)
    optics = [make.optics(7, 10, 1.2, 200.0, 1.4, 0.07), make.optics(2)]
    rows = [
        row
        for pair in zip(make.rows(3, "a.mrcs", 2), make.rows(3, "b.mrcs", 7), strict=True)
        for row in pair
    ]
    p = cs.read_particles(make.star(optics=optics, rows=rows))
    assert p.pixel_size == {2: 1.5, 7: 1.2}
    assert p.boxes == {2: 8, 7: 10}
    np.testing.assert_array_equal(p.ctf["voltage"], [300, 200] * 3)
    np.testing.assert_array_equal(p.ctf["cs"], [2.7, 1.4] * 3)
    assert p.images(p.ctf["optics_group"] == 7).shape == (3, 10, 10)
    with pytest.raises(
        CryoswayError, match=r"several sizes \(8, 10 px\); first run cryosway prepare"
    ):
        p.images()
    with pytest.raises(CryoswayError, match="several sizes"):
        _ = p.box


def test_unknown_optics_group(make):
    make.stack()
    rows = make.rows()
    rows[3] = (*rows[3][:-1], 4)
    with pytest.raises(
        CryoswayError,
        match=r"p\.star row 4: optics group 4 is not in the optics table \(which has 1\)",
    ):
        cs.read_particles(make.star(rows=rows))


def test_particles_that_do_not_say_their_group(make):
    make.stack()
    rows = [row[:-1] for row in make.rows()]
    labels = make.star.__func__.__defaults__[3][:-1]
    assert (cs.read_particles(make.star(rows=rows, labels=labels)).ctf["optics_group"] == 1).all()
    two = [make.optics(1), make.optics(2)]
    with pytest.raises(CryoswayError, match="2 optics groups but its particles do not say theirs"):
        cs.read_particles(make.star(rows=rows, labels=labels, optics=two))


@pytest.mark.parametrize("column", ["rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"])
def test_missing_microscope_needs_consent(make, column):
    path = make.star30(drop=(column,))
    default = {
        "rlnVoltage": "300 kV",
        "rlnSphericalAberration": r"2\.7 mm",
        "rlnAmplitudeContrast": r"0\.1",
    }
    with pytest.raises(
        CryoswayError,
        match=rf"p30\.star does not give .*\({column}\).*to use {default[column]}",
    ):
        cs.read_particles(path)
    p = cs.read_particles(path, accept_defaults=True)
    name = {
        "rlnVoltage": "voltage",
        "rlnSphericalAberration": "cs",
        "rlnAmplitudeContrast": "amplitude_contrast",
    }[column]
    assert (p.ctf[name] == {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}[name]).all()


def test_missing_phase_shift_is_zero(make):
    assert (cs.read_particles(make.star30()).ctf["phase_shift"] == 0).all()


def test_without_defocus_the_ctf_is_one(make):
    import torch

    from cryosway.optics import CtfParams, compute_ctf

    path = make.star30(drop=("rlnDefocusU", "rlnAmplitudeContrast"))
    with pytest.warns(CryoswayWarning, match=r"p30\.star has no defocus .*taken to have no CTF"):
        p = cs.read_particles(path)
    assert not p.has_ctf
    ctf = compute_ctf(torch.rand(50, 2) - 0.5, CtfParams.from_table(p.ctf))
    assert torch.equal(ctf, torch.ones(4, 50))


def test_nan_poses_and_defocus_name_the_row(make):
    with pytest.raises(
        CryoswayError, match=r"p30\.star row 3 \(and 1 more rows\): rlnAngleTilt is nan; remove"
    ):
        cs.read_particles(make.star30(rlnAngleTilt=[1, 2, "nan", "nan"]))
    with pytest.raises(CryoswayError, match=r"row 2: rlnOriginX is inf"):
        cs.read_particles(make.star30(rlnOriginX=[1, "inf", 0, 0]))
    with pytest.raises(CryoswayError, match=r"row 4: rlnDefocusU is nan"):
        cs.read_particles(make.star30(rlnDefocusU=[1, 1, 1, "nan"]))
    with pytest.raises(CryoswayError, match=r"row 1: rlnVoltage is 'x', not a number"):
        cs.read_particles(make.star30(rlnVoltage=["x", 300, 300, 300]))


def test_no_poses(make):
    p = cs.read_particles(make.star30(drop=("rlnAnglePsi",)))
    assert not p.has_poses and len(p.images()) == 4
    with pytest.raises(
        CryoswayError, match=r"particles of s30\.mrcs have no poses; refine them, or pass poses="
    ):
        _ = p.rotations
    with pytest.raises(CryoswayError, match="have no poses"):
        _ = p.shifts


def test_wrong_box(make):
    make.stack()
    path = make.star(optics=[make.optics(box=10)])
    with pytest.raises(
        CryoswayError,
        match=r"p\.star row 1 \(and 5 more rows\): image 1@s\.mrcs is 8 px but .* say 10 px",
    ):
        cs.read_particles(path)


def test_image_beyond_the_stack(make):
    make.stack(count=4)
    with pytest.raises(
        CryoswayError,
        match=r"row 5 \(and 1 more rows\): image 5 of .*s\.mrcs does not exist, the stack has 4",
    ):
        cs.read_particles(make.star())
    rows = make.rows(2)
    rows[1] = ("000000@s.mrcs", *rows[1][1:])
    with pytest.raises(CryoswayError, match=r"row 2: image 0 of .*counted from 1"):
        cs.read_particles(make.star(rows=rows))
    rows[1] = ("x@s.mrcs", *rows[1][1:])
    with pytest.raises(CryoswayError, match=r"row 2: 'x@s.mrcs' is no image name"):
        cs.read_particles(make.star(rows=rows))


def test_names_without_number_and_with_format(make):
    make.stack("one.mrc", 1)
    make.stack("s.mrc", 3)
    rows = make.rows(3)
    names = ["one.mrc", "2@s.mrc:mrcs", "000003@s.mrc"]
    rows = [(name, *row[1:]) for name, row in zip(names, rows, strict=True)]
    p = cs.read_particles(make.star(rows=rows))
    assert p.source["image_name"].tolist() == ["000001@one.mrc", "000002@s.mrc", "000003@s.mrc"]


@pytest.mark.parametrize(
    ("label", "value", "warned"),
    [
        ("rlnBeamTiltX", 0.05, True),
        ("rlnBeamTiltY", 0.0, False),
        ("rlnOddZernike", "[0,0.1,0]", True),
        ("rlnEvenZernike", "[0,-0,0.000]", False),
        ("rlnEvenZernike", "[0,0,1e-2]", True),
        ("rlnMagMat01", 0.002, True),
        ("rlnMagMat00", 1.0, False),
    ],
)
def test_aberrations_are_named(make, label, value, warned, recwarn):
    path = make.star30(**{label: [value] * 4})
    if warned:
        with pytest.warns(
            CryoswayWarning, match=rf"p30\.star has aberrations .* not apply yet: {label};"
        ):
            assert cs.read_particles(path).aberrations == [label]
    else:
        assert cs.read_particles(path).aberrations == []


def test_what_is_not_modelled_is_refused(make):
    with pytest.raises(
        CryoswayError, match=r"multiplied by their CTF \(rlnCtfDataAreCtfPremultiplied\)"
    ):
        cs.read_particles(make.star30(rlnCtfDataAreCtfPremultiplied=[0, 0, 1, 0]))
    with pytest.raises(CryoswayError, match="subtomograms or tilt series"):
        cs.read_particles(make.star30(rlnTomoParticleName=["a", "b", "c", "d"]))


def test_star_that_lists_no_particles(make):
    (make.folder / "m.star").write_text("data_\nloop_\n_rlnMicrographName\nx.mrc\n")
    with pytest.raises(
        CryoswayError, match=r"m\.star has no table with rlnImageName.* run_data\.star"
    ):
        cs.read_particles(make.folder / "m.star")
    with pytest.raises(CryoswayError, match="lists no particles"):
        cs.read_particles(make.star(rows=[]))


def test_pixel_size_that_is_none(make):
    with pytest.raises(
        CryoswayError, match="row 2: rlnDetectorPixelSize / rlnMagnification is inf"
    ):
        cs.read_particles(make.star30(rlnMagnification=[40000, 0, 40000, 40000]))
    p = cs.read_particles(make.star30(drop=("rlnMagnification",)))
    assert p.pixel_size == 1.5  # of the header of the stack
    make.stack("s.mrcs", pixel_size=0)
    rows = [row[:-1] for row in make.rows()]
    path = make.star(optics=[], rows=rows, labels=make.star.__func__.__defaults__[3][:-1])
    with pytest.raises(
        CryoswayError, match=r"gives no pixel size .rlnImagePixelSize. and nor do the headers"
    ):
        cs.read_particles(path)


def test_trpv1(trpv1):
    p = cs.read_particles(trpv1)
    assert (len(p), p.box, p.pixel_size) == (10, 48, 4.88)
    np.testing.assert_allclose(p.shifts[0], [-8.149219, -6.120969])
    assert (p.ctf["defocus_u"] < p.ctf["defocus_v"]).all()
    assert p.images([3]).std() == pytest.approx(4.68, abs=0.3)
