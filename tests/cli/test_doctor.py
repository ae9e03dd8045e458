import pytest

from cryosway.cli import _doctor, main


def test_a_healthy_machine(tmp_path, capsys):
    assert main(["doctor", "--folder", str(tmp_path), "--size-mb", "2"]) == 0
    text = capsys.readouterr().out
    for word in ("cryosway 0", "torch", "threads usable", "GB free", "MB/s", "all is well"):
        assert word in text
    assert list(tmp_path.iterdir()) == []  # the test file is gone


def test_missing_packages_come_with_their_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_doctor, "_is_installed", lambda name: name not in ("finufft", "gemmi"))
    assert _doctor.doctor(tmp_path, size_mb=1) == 1
    text = capsys.readouterr().out
    assert "-m pip install gemmi" in text
    assert "-m pip install 'cryosway[nufft]'" in text
    assert "cryosway cannot work here yet" in text


def test_a_folder_that_is_none(tmp_path, capsys):
    assert _doctor.doctor(tmp_path / "nowhere", size_mb=1) == 1
    assert "is not a folder" in capsys.readouterr().out


def test_a_disk_that_refuses(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(_doctor, "measure_disk", refuse)
    assert _doctor.doctor(tmp_path, size_mb=1) == 1
    assert "read-only" in capsys.readouterr().out


def test_speed_is_that_of_the_clock(tmp_path, monkeypatch):
    ticks = iter([0.0, 2.0, 2.5])
    monkeypatch.setattr(_doctor.time, "perf_counter", lambda: next(ticks))
    assert _doctor.measure_disk(tmp_path, 1) == pytest.approx((0.5, 2.0))
