"""What keeps a long computation safe: job folders, locks, checkpoints, progress and devices.

The engine knows no cryo-EM: it would serve any staged computation that fills a folder.
"""

from cryosway.engine._atomic import clear_leftovers, write_atomically
from cryosway.engine._checkpoints import load_tensors, save_tensors
from cryosway.engine._console import show_messages
from cryosway.engine._files import read_json, read_table, to_plain, write_json, write_table
from cryosway.engine._hardware import (
    available_memory_bytes,
    count_cpus,
    peak_device_memory_bytes,
    peak_memory_bytes,
    select_device,
    set_threads,
)
from cryosway.engine._interrupts import Terminated, terminate_as_exception
from cryosway.engine._job_folder import JobFolder
from cryosway.engine._job_info import FORMAT_NAME, FORMAT_VERSION, collect_versions, read_job_info
from cryosway.engine._lock import FolderLock, is_locked
from cryosway.engine._options import Options
from cryosway.engine._os_errors import explain_os_errors
from cryosway.engine._progress import Progress, format_duration

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "FolderLock",
    "JobFolder",
    "Options",
    "Progress",
    "Terminated",
    "available_memory_bytes",
    "clear_leftovers",
    "collect_versions",
    "count_cpus",
    "explain_os_errors",
    "format_duration",
    "is_locked",
    "load_tensors",
    "peak_device_memory_bytes",
    "peak_memory_bytes",
    "read_job_info",
    "read_json",
    "read_table",
    "save_tensors",
    "select_device",
    "set_threads",
    "show_messages",
    "terminate_as_exception",
    "to_plain",
    "write_atomically",
    "write_json",
    "write_table",
]
