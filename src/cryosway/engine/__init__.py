"""What keeps a long computation safe: job folders, checkpoints, progress, devices, training.

The engine knows no cryo-EM: it would serve any staged computation that fills a folder.
"""

from typing import TYPE_CHECKING

from cryosway._lazy import lazy_attributes
from cryosway.engine._atomic import clear_leftovers, write_atomically
from cryosway.engine._checkpoints import load_tensors, save_tensors
from cryosway.engine._console import LOGGER, show_messages
from cryosway.engine._files import (
    hash_file,
    read_json,
    read_table,
    to_plain,
    write_json,
    write_table,
)
from cryosway.engine._hardware import (
    available_memory_bytes,
    count_cpus,
    peak_device_memory_bytes,
    peak_memory_bytes,
    select_device,
    set_threads,
)
from cryosway.engine._interrupts import Terminated, TimeLimitError, terminate_as_exception
from cryosway.engine._job_folder import JobFolder
from cryosway.engine._job_info import FORMAT_NAME, FORMAT_VERSION, collect_versions, read_job_info
from cryosway.engine._lock import FolderLock, is_locked
from cryosway.engine._measured_run import Cost, recall_cost, run_measured, thread_limits
from cryosway.engine._options import Options
from cryosway.engine._os_errors import explain_os_errors
from cryosway.engine._progress import Progress, format_duration, show_stage
from cryosway.engine._training import (
    Losses,
    ParameterGroup,
    TrainingPlan,
    TrainingResult,
    TrainingStep,
    train,
)

if TYPE_CHECKING:
    from cryosway.engine._distributed import (
        ProcessGroup,
        find_place,
        open_process_group,
        share_job,
    )
    from cryosway.engine._gradient import is_out_of_memory
    from cryosway.engine._loader import move_batch, prefetch
    from cryosway.engine._precision import autocast, choose_precision
    from cryosway.engine._row_adam import RowAdam

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "LOGGER",
    "Cost",
    "FolderLock",
    "JobFolder",
    "Losses",
    "Options",
    "ParameterGroup",
    "ProcessGroup",
    "Progress",
    "RowAdam",
    "Terminated",
    "TimeLimitError",
    "TrainingPlan",
    "TrainingResult",
    "TrainingStep",
    "autocast",
    "available_memory_bytes",
    "choose_precision",
    "clear_leftovers",
    "collect_versions",
    "count_cpus",
    "explain_os_errors",
    "find_place",
    "format_duration",
    "hash_file",
    "is_locked",
    "is_out_of_memory",
    "load_tensors",
    "move_batch",
    "open_process_group",
    "peak_device_memory_bytes",
    "peak_memory_bytes",
    "prefetch",
    "read_job_info",
    "read_json",
    "read_table",
    "recall_cost",
    "run_measured",
    "save_tensors",
    "select_device",
    "set_threads",
    "share_job",
    "show_messages",
    "show_stage",
    "terminate_as_exception",
    "thread_limits",
    "to_plain",
    "train",
    "write_atomically",
    "write_json",
    "write_table",
]

# What needs PyTorch, or NumPy, from the start is imported when first used.
__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "ProcessGroup": "cryosway.engine._distributed",
        "RowAdam": "cryosway.engine._row_adam",
        "autocast": "cryosway.engine._precision",
        "choose_precision": "cryosway.engine._precision",
        "find_place": "cryosway.engine._distributed",
        "is_out_of_memory": "cryosway.engine._gradient",
        "move_batch": "cryosway.engine._loader",
        "open_process_group": "cryosway.engine._distributed",
        "prefetch": "cryosway.engine._loader",
        "share_job": "cryosway.engine._distributed",
    },
)
