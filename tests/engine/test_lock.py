import errno
import fcntl

import pytest

from cryosway import CryoswayWarning
from cryosway.engine import FolderLock, is_locked
from cryosway.engine._lock import describe_holder


def test_disk_without_locks_is_a_warning(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(CryoswayWarning, match="without locks: start one job only"):  # noqa: SIM117
        with FolderLock(tmp_path):
            assert not is_locked(tmp_path)


def test_asking_does_not_lock(tmp_path):
    with FolderLock(tmp_path):
        assert is_locked(tmp_path)
        assert is_locked(str(tmp_path))
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nowhere")
    with FolderLock(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{}", "not json"])
def test_unreadable_holder_is_another_process(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    assert describe_holder(tmp_path) == "another process"
