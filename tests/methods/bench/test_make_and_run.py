"""Sets are made, methods run on them, and one table comes out; all of it goes on when stopped."""

import json
import stat
import sys

import numpy as np
import pandas as pd
import pytest

from cryosway import CryoswayError, bench_make, bench_run, bench_table, read_particles
from cryosway.cli import main
from cryosway.methods._bench.options import BenchRunOptions
from cryosway.methods._bench.programs import CryodrgnTraining, OwnMethod
from cryosway.methods._bench.run import list_programs
from cryosway.methods._bench.truth_set import read_truth_set

BOX = 20


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    bench_make(folder, kind=("kinase",), variant=("clean", "junk", "poses"), snr=(1.0,),
               images=120, box=BOX, states=3, threads=1)  # fmt: skip
    bench_make(folder, kind=("assembly",), images=160, box=BOX, threads=1)
    return folder


ORACLE = """#!{python}
import shutil, sys
from pathlib import Path
import numpy as np, pandas as pd
truth, out = map(Path, sys.argv[1:3])
(out / "volumes").mkdir()
states = pd.read_parquet(truth / "truth.parquet")["state"].to_numpy()
np.save(out / "classes.npy", states)
for path in (truth / "volumes").glob("state_*.mrc"):
    shutil.copy(path, out / "volumes")
open({calls!r}, "a").write("called\\n")
"""


@pytest.fixture
def oracle(tmp_path):
    path = tmp_path / "oracle"
    path.write_text(ORACLE.format(python=sys.executable, calls=str(tmp_path / "calls")))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_sets_hold_what_was_asked_for(sets):
    names = sorted(path.name for path in sets.iterdir())
    assert names == ["assembly_snr0.1", "kinase_snr1", "kinase_snr1_junk", "kinase_snr1_poses"]
    clean, junk = (read_truth_set(sets / name) for name in names[1:3])
    assert len(clean.volumes) == 3
    np.testing.assert_allclose(np.unique(clean.latents), [0, 0.5, 1])
    assert (clean.states >= 0).all()
    assert 0.1 < (junk.states < 0).mean() < 0.35
    assembly = read_truth_set(sets / "assembly_snr0.1")
    assert assembly.latents.shape == (160, 6)
    assert set(np.unique(assembly.latents)) == {0, 1}
    poses = read_truth_set(sets / "kinase_snr1_poses")
    given = read_particles(sets / "kinase_snr1_poses" / "particles.star").rotations
    cosine = np.einsum("nij,nij->n", given, poses.rotations.reshape(-1, 3, 3))
    angles = np.degrees(np.arccos(np.clip((cosine - 1) / 2, -1, 1)))
    assert 5 < np.sqrt(np.mean(angles**2)) < 13  # 5° about each of three axes: 8.7°
    models = sorted(path.name for path in (sets / "kinase_snr1" / "models").iterdir())
    assert models == ["missing.cif", "right.cif", "turned.cif"]


def test_what_is_there_is_not_made_again(sets):
    stack = sets / "kinase_snr1" / "particles.mrcs"
    before = stack.stat().st_mtime_ns
    line = f"bench make --out {sets} --kind kinase --snr 1 --images 120 --box {BOX} --states 3"
    assert main([*line.split(), "--threads", "1"]) == 0
    assert stack.stat().st_mtime_ns == before
    assert main([*line.replace("--states 3", "--states 4").split()]) == 2


def test_programs_are_run_scored_and_tabulated(sets, oracle, tmp_path, capsys):
    out = tmp_path / "runs"
    given = [str(sets / "kinase_snr1")]
    line = f"--out {out} --method backproject --peer oracle={oracle} --scored 20 --threads 1"
    assert main(["bench", "run", *given, *line.split()]) == 0
    table = pd.read_csv(out / "table" / "table.csv")
    assert list(table["result"]) == ["oracle", "backproject"]  # the best first
    oracles = table[table["result"] == "oracle"]
    np.testing.assert_allclose(oracles["masked"], oracles["limit"], atol=1e-6)
    np.testing.assert_allclose(oracles["ari"], 1)
    maps = table[table["result"] == "backproject"]
    np.testing.assert_allclose(maps["over_consensus"], 0, atol=1e-9)
    assert (maps["masked"] < maps["limit"]).all()
    assert (table["cpu_seconds"] > 0).all()
    assert "On kinase_snr1, oracle scores best" in (out / "table" / "report.html").read_text()
    assert (out / "table" / "table.md").read_text().count("\n") == 2 + 2
    # Given again, nothing is run; another table may be made of it.
    assert main(["bench", "run", *given, *line.split()]) == 0
    assert (tmp_path / "calls").read_text().count("called") == 1
    with pytest.raises(CryoswayError, match="was run with other options"):
        bench_run(given, out, method=("backproject",), option=("backproject:seed=4",))
    again = bench_table([out], tmp_path / "table2")
    assert again.status == "finished"


def test_a_program_that_fails_says_where_to_look(sets, tmp_path):
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\necho no licence; exit 3\n")
    bad.chmod(bad.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(CryoswayError, match="no licence"):
        bench_run(sets / "kinase_snr1", tmp_path / "runs", method=(), peer=(f"bad={bad}",))
    assert not list(tmp_path.glob("runs/**/run.json"))


def test_networks_start_from_the_linear_model_and_options_reach_them(sets):
    settings = BenchRunOptions.check(
        "bench run",
        {"method": ("vae", "linear", "structural"), "prior": ("right", "missing"),
         "option": ("vae:epochs=3", "linear:contrast=false"), "seeds": (0, 1)},
    )  # fmt: skip
    programs = list(list_programs(settings))
    names = [program.name for program in programs]
    assert names == ["linear_s0", "vae_s0", "structural_s0", "structural_missing_s0",
                     "linear_s1", "vae_s1", "structural_s1", "structural_missing_s1"]  # fmt: skip
    truth = read_truth_set(sets / "kinase_snr1")
    vae = programs[1]
    assert isinstance(vae, OwnMethod)
    command = vae._make_command(truth, truth.path / "job", truth.path / "linear_s0", 2)
    text = " ".join(command)
    assert "vae" in text and "--epochs 3" in text and "--threads 2" in text
    assert f"--linear {truth.path / 'linear_s0' / 'job'}" in text
    assert programs[3].model == "missing.cif"
    assert programs[3].lacks(truth) is None
    linear = programs[0]._make_command(truth, truth.path / "job", None, None)
    assert "--no-contrast" in linear


def test_cryodrgn_gets_its_files_and_goes_on(sets, tmp_path):
    truth = read_truth_set(sets / "kinase_snr1")
    program = CryodrgnTraining("cryodrgn", {"num-epochs": "3"}, tmp_path)
    with pytest.raises(CryoswayError, match="give --cryodrgn the environment"):
        program._make_command(truth, tmp_path / "run", tmp_path / "run" / "training")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cryodrgn").write_text("")
    command, resumed = program._make_command(truth, tmp_path / "run", tmp_path / "training")
    assert not resumed
    assert command[2].endswith("particles.mrcs")
    assert "--num-epochs 3 " in " ".join(command)
    again = read_particles(
        command[2], poses=tmp_path / "run" / "poses.pkl", ctf=tmp_path / "run" / "ctf.pkl"
    )
    given = read_particles(truth.particles)
    np.testing.assert_allclose(again.rotations, given.rotations, atol=1e-6)
    np.testing.assert_allclose(again.shifts, given.shifts, atol=1e-3)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "weights.1.pkl").write_text("")
    command, resumed = program._make_command(truth, tmp_path / "run", tmp_path / "training")
    assert resumed
    assert command[-2:] == ["--load", "latest"]


def test_mistakes_are_said(sets, tmp_path):
    for options, words in (
        ({"option": ("vea:epochs=3",)}, "a method that is run"),
        ({"option": ("vae:epochs",)}, "METHOD:NAME=VALUE"),
        ({"peer": ("x=/no/such/program",)}, "no such program"),
    ):
        with pytest.raises(CryoswayError, match=words):
            bench_run(sets / "kinase_snr1", tmp_path / "runs", **options)
    with pytest.raises(CryoswayError, match=r"holds no score\.json"):
        bench_table(tmp_path, tmp_path / "table")
    with pytest.raises(CryoswayError, match="bench make: there is no option 'imges'"):
        bench_make(tmp_path, imges=3)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "truth.parquet").write_text("")
    (tmp_path / "cut" / "job.json").write_text(json.dumps({"status": "running"}))
    with pytest.raises(CryoswayError, match="is not finished"):
        bench_run(tmp_path / "cut", tmp_path / "runs")
