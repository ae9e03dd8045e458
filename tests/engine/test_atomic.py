import os
import stat

import pytest

from cryosway.engine import write_atomically


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "map.mrc"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_file_keeps_the_suffixes(tmp_path):
    with write_atomically(tmp_path / "map.mrc.gz") as temporary:
        assert temporary.suffixes == [".mrc", ".gz"]
        assert temporary.parent == tmp_path  # a rename is atomic only within a file system


def test_file_mode_is_that_of_ordinary_files(tmp_path):
    with write_atomically(tmp_path / "a") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    (tmp_path / "b").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    assert len(modes) == 1
