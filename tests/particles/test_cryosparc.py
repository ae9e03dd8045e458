"""cryoSPARC's data sets: the same particles, joined, and sent back."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning


def test_fields_become_the_conventions(make):
    images = make.stack()
    path = make.cs()
    table = np.load(path)
    p = cs.read_particles(path)
    expected = Rotation.from_rotvec(table["alignments3D/pose"]).as_matrix().transpose(0, 2, 1)
    np.testing.assert_allclose(p.rotations, expected, atol=1e-12)
    np.testing.assert_allclose(p.shifts, table["alignments3D/shift"].astype(float) * 1.5)
    np.testing.assert_array_equal(p.ctf["defocus_u"], table["ctf/df1_A"].astype(float))
    np.testing.assert_allclose(
        p.ctf["defocus_angle"], np.degrees(table["ctf/df_angle_rad"].astype(float))
    )
    np.testing.assert_allclose(p.ctf["phase_shift"], np.degrees(0.25))
    assert (
        p.ctf[["voltage", "cs", "amplitude_contrast", "pixel_size", "optics_group"]]
        == [300, 2.7, 0.1, 1.5, 1]
    ).all(axis=None)
    assert p.contrast_sign == -1
    assert p.half_sets.tolist() == [1, 2, 1, 2, 1, 2]
    np.testing.assert_array_equal(p.source["uid"], table["uid"])
    np.testing.assert_array_equal(p.images(), images)  # as stored, the sign not applied


def test_star_and_cs_of_the_same_particles_agree(make):
    """The .cs file is made from the STAR rows by formulas of its own."""
    make.stack()
    rows = make.rows()
    star = cs.read_particles(make.star(rows=rows))
    values = np.array([row[2:12] for row in rows], float)
    pose = Rotation.from_euler("ZYZ", values[:, :3], degrees=True).as_rotvec()  # expmap(pose)ᵀ = R
    path = make.cs(
        **{
            "alignments3D/pose": pose.astype(np.float32),
            "alignments3D/shift": (values[:, 3:5] / 3.0).astype(np.float32),  # binned alignments
            "alignments3D/psize_A": np.full(6, 3.0, np.float32),
            "ctf/df1_A": values[:, 5].astype(np.float32),
            "ctf/df2_A": values[:, 6].astype(np.float32),
            "ctf/df_angle_rad": np.deg2rad(values[:, 7]).astype(np.float32),
            "ctf/phase_shift_rad": np.zeros(6, np.float32),
        }
    )
    sparc = cs.read_particles(path)
    np.testing.assert_allclose(sparc.rotations, star.rotations, atol=1e-6)
    np.testing.assert_allclose(sparc.shifts, star.shifts, atol=1e-5)
    np.testing.assert_allclose(sparc.ctf, star.ctf, rtol=1e-6)
    np.testing.assert_array_equal(sparc.half_sets, star.half_sets)
    back = cs.read_particles(star.write(make.folder / "from_star.cs"))
    np.testing.assert_allclose(back.rotations, star.rotations, atol=1e-6)
    np.testing.assert_allclose(back.shifts, star.shifts, atol=1e-5)
    np.testing.assert_allclose(back.ctf, star.ctf, rtol=1e-6)
    np.testing.assert_array_equal(back.images(), star.images())
    assert len(set(back.source["uid"])) == 6


def test_zero_pose_is_no_rotation(make):
    make.stack()
    p = cs.read_particles(make.cs(**{"alignments3D/pose": np.zeros((6, 3), np.float32)}))
    np.testing.assert_array_equal(p.rotations, np.tile(np.eye(3), (6, 1, 1)))


def split_passthrough(make, order, drop=("ctf/", "blob/")):
    """A job's output and its passthrough file, whose rows are in another order."""
    full = np.load(make.cs("full.cs"))
    (make.folder / "full.cs").unlink()
    kept = [n for n in full.dtype.names if not n.startswith(drop)]
    main = make.table("J3/cryosparc_P1_J3_005_particles.cs", {n: full[n] for n in kept})
    moved = ["uid", *(n for n in full.dtype.names if n.startswith(drop)), "alignments3D/error"]
    other = make.table("J3/P1_J3_passthrough_particles.cs", {n: full[n][order] for n in moved})
    return full, main, other


@pytest.mark.parametrize("given", [True, False])
def test_passthrough_is_joined_on_uid(make, given):
    make.stack()
    full, main, other = split_passthrough(make, [3, 1, 5, 0, 2, 4])
    p = cs.read_particles([main, other] if given else main)
    np.testing.assert_array_equal(p.source["uid"], full["uid"])
    np.testing.assert_array_equal(p.source["image_index"], full["blob/idx"])
    np.testing.assert_array_equal(p.ctf["defocus_u"], full["ctf/df1_A"].astype(float))
    written = np.load(p[[2, 4]].write(make.folder / "out.cs"))
    assert set(written.dtype.names) == set(full.dtype.names)
    for name in full.dtype.names:
        np.testing.assert_array_equal(written[name], full[name][[2, 4]])


def test_passthrough_of_another_job(make):
    make.stack()
    _, main, other = split_passthrough(make, [3, 1, 5, 0])
    with pytest.raises(
        CryoswayError,
        match=r"P1_J3_passthrough_particles\.cs lacks 2 of the 6 particles of .*\(the first is uid",
    ):
        cs.read_particles([main, other])
    with pytest.raises(
        CryoswayError, match=r"no blob/path.; pass the passthrough file of the job as well"
    ):
        cs.read_particles(main)


def test_complete_sets_are_put_one_after_the_other(make):
    make.stack()
    a, b = make.cs("a.cs"), make.cs("b.cs", count=4)
    p = cs.read_particles([a, b])
    assert len(p) == 10
    np.testing.assert_array_equal(p.source["uid"], np.r_[np.load(a)["uid"], np.load(b)["uid"]])
    written = np.load(p.write(make.folder / "both.cs"))
    assert written.dtype.names == np.load(a).dtype.names


def test_2d_alignments_only_are_refused(make, random_rotations):
    make.stack()
    path = make.cs(drop=("alignments3D/",), **{"alignments2D/pose": np.zeros(6, np.float32)})
    with pytest.raises(
        CryoswayError,
        match=r"particles\.cs has 2D alignments only .*ab-initio or refinement .*pass poses=",
    ):
        cs.read_particles(path)
    p = cs.read_particles(path, poses=(random_rotations(6), np.ones((6, 2))))
    written = np.load(p.write(make.folder / "out.cs"))
    assert "alignments3D/pose" in written.dtype.names and "alignments2D/pose" in written.dtype.names
    np.testing.assert_allclose(
        cs.read_particles(make.folder / "out.cs").rotations, p.rotations, atol=1e-6
    )


def test_extraction_without_alignments_has_no_poses(make):
    make.stack()
    assert not cs.read_particles(make.cs(drop=("alignments3D/",))).has_poses


@pytest.mark.parametrize("classes", [(0,), (0, 2)])
def test_ab_initio_takes_the_most_probable_class(make, classes):
    make.stack()
    rng = make.rng
    fields = {}
    for k in classes:
        fields |= {
            f"alignments_class_{k}/pose": rng.normal(size=(6, 3)).astype(np.float32),
            f"alignments_class_{k}/shift": rng.normal(size=(6, 2)).astype(np.float32),
            f"alignments_class_{k}/psize_A": np.full(6, 2.0 + k, np.float32),
            f"alignments_class_{k}/class_posterior": rng.uniform(size=6).astype(np.float32),
        }
    p = cs.read_particles(make.cs(drop=("alignments3D/",), **fields))
    best = (
        classes
        if len(classes) == 1
        else np.argmax([fields[f"alignments_class_{k}/class_posterior"] for k in classes], axis=0)
    )
    for i in range(6):
        k = classes[0] if len(classes) == 1 else classes[best[i]]
        expected = Rotation.from_rotvec(fields[f"alignments_class_{k}/pose"][i]).inv().as_matrix()
        np.testing.assert_allclose(p.rotations[i], expected, atol=1e-6)
        np.testing.assert_allclose(
            p.shifts[i], fields[f"alignments_class_{k}/shift"][i] * (2.0 + k), rtol=1e-6
        )


def test_hetero_refinement(make):
    make.stack()
    rng = make.rng
    pose = rng.normal(size=(6, 3, 3)).astype(np.float32)
    posterior = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 1, 0]]
    fields = {
        "alignments3D_multi/pose": pose,
        "alignments3D_multi/shift": np.ones((6, 3, 2), np.float32),
        "alignments3D_multi/psize_A": np.full(6, 3.0, np.float32),
        "alignments3D_multi/class_posterior": posterior,
    }
    p = cs.read_particles(make.cs(drop=("alignments3D/",), **fields))
    chosen = pose[np.arange(6), [0, 1, 2, 2, 1, 0]]
    np.testing.assert_allclose(
        p.rotations, Rotation.from_rotvec(chosen).inv().as_matrix(), atol=1e-6
    )
    assert (p.shifts == 3.0).all()


def test_changed_poses_go_back_with_the_uids(make, random_rotations):
    make.stack()
    path = make.cs()
    p = cs.read_particles(path)
    rotations, shifts = random_rotations(6), make.rng.normal(0, 4, (6, 2))
    before, after = (
        np.load(path),
        np.load(p.with_poses(rotations, shifts).write(make.folder / "out.cs")),
    )
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after["uid"], before["uid"])
    for name in before.dtype.names:
        same = np.array_equal(before[name], after[name])
        assert same == (name not in ("alignments3D/pose", "alignments3D/shift")), name
    again = cs.read_particles(make.folder / "out.cs")
    np.testing.assert_allclose(again.rotations, rotations, atol=1e-6)
    np.testing.assert_allclose(again.shifts, shifts, atol=1e-5)


def test_big_index_does_not_wrap(make):
    """uint32 indices times the bytes of an image overflow at 4 GiB; a sparse file shows it."""
    import mrcfile

    box, count = 256, 16_500  # 4.03 GiB of float32, of which the disk holds a few kB
    path = make.folder / "big.mrcs"
    with mrcfile.new_mmap(path, (1, box, box), mrc_mode=2) as file:
        file.set_image_stack()
        file.voxel_size = 1.0
    with path.open("r+b") as file:
        file.truncate(1024 + count * box * box * 4)
        file.seek(8)
        file.write(np.int32(count).tobytes())
        file.seek(1024 + (count - 1) * box * box * 4)
        file.write(np.float32(42).tobytes())
    fields = {
        "blob/idx": np.array([count - 1, 0], np.uint32),
        "blob/shape": np.full((2, 2), box, np.uint32),
    }
    p = cs.read_particles(make.cs(count=2, stack="big.mrcs", **fields))
    images = p.images()
    assert images[0, 0, 0] == 42 and images[1, 0, 0] == 0


def test_duplicate_uid(make):
    uid = np.array([5, 6, 7, 6, 8, 9], np.uint64)
    with pytest.raises(
        CryoswayError, match=r"particles\.cs has uid 6 twice \(rows 2 and 4; 1 uids are repeated\)"
    ):
        cs.read_particles(make.cs(uid=uid))
    make.stack()
    p = cs.read_particles(make.cs())
    with pytest.raises(
        CryoswayError, match=r"cannot write out\.cs: some particles occur more than once"
    ):
        p[[0, 0]].write(make.folder / "out.cs")


@pytest.mark.parametrize("field", ["ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast"])
def test_missing_microscope_needs_consent(make, field):
    make.stack()
    path = make.cs(drop=(field,))
    with pytest.raises(CryoswayError, match=rf"does not give .*\({field}\).*accept_defaults=True"):
        cs.read_particles(path)
    assert len(cs.read_particles(path, accept_defaults=True)) == 6


def test_nan_and_aberrations(make):
    make.stack()
    pose = np.zeros((6, 3), np.float32)
    pose[4, 1] = np.nan
    with pytest.raises(CryoswayError, match=r"particles\.cs row 5: alignments3D/pose is nan"):
        cs.read_particles(make.cs(**{"alignments3D/pose": pose}))
    tilt = np.full((6, 2), 0.1, np.float32)
    with pytest.warns(CryoswayWarning, match=r"aberrations .*: ctf/tilt_A;"):
        assert cs.read_particles(make.cs(**{"ctf/tilt_A": tilt})).aberrations == ["ctf/tilt_A"]
    with pytest.warns(CryoswayWarning, match="taken to have no CTF"):
        assert not cs.read_particles(make.cs(drop=("ctf/",))).has_ctf


def test_files_that_are_no_data_sets(make):
    (make.folder / "a.cs").write_text("no")
    with pytest.raises(CryoswayError, match=r"a\.cs is not a cryoSPARC data set"):
        cs.read_particles(make.folder / "a.cs")
    (make.folder / "b.cs").write_bytes(b"\x94CSDAT" + b"x" * 100)
    with pytest.raises(
        CryoswayError, match="compressed cryoSPARC stream; save it with cryosparc-tools"
    ):
        cs.read_particles(make.folder / "b.cs")
    make.table("c.cs", {"x": np.arange(3)})
    with pytest.raises(CryoswayError, match="it has no uid"):
        cs.read_particles(make.folder / "c.cs")
    with (make.folder / "d.cs").open("wb") as file:
        np.save(file, np.array([{}], object))
    with pytest.raises(CryoswayError, match="not a cryoSPARC data set"):
        cs.read_particles(make.folder / "d.cs")


def test_exposure_groups_and_mixed_signs(make):
    make.stack()
    p = cs.read_particles(
        make.cs(
            **{
                "ctf/exp_group_id": np.array([9, 3, 9, 3, 5, 9], np.uint32),
                "blob/sign": np.float32([1, -1, 1, 1, 1, 1]),
            }
        )
    )
    assert p.ctf["optics_group"].tolist() == [1, 2, 1, 2, 3, 1]
    assert p.contrast_sign is None and p.contrast_signs.tolist() == [1, -1, 1, 1, 1, 1]
