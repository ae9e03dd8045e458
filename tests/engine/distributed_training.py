"""One of several processes that train together: started by a test with torchrun's variables.

python distributed_training.py SCRIPT FOLDER: trains the step of SCRIPT (training_job.py) in
float64; the first process writes the job FOLDER, the others their weights beside it.
"""

import dataclasses
import runpy
import sys
from pathlib import Path

import torch

from cryosway.engine import JobFolder, open_process_group, save_tensors, share_job, train


def main(script: str, folder: Path) -> None:
    torch.set_num_threads(1)
    names = runpy.run_path(script)
    step = names["SineStep"](noise=0, dtype=torch.float64)
    plan = dataclasses.replace(names["PLAN"], batch_size=11)  # unequal shares; one row is left
    start = JobFolder.start(folder, "sine", {})
    with open_process_group("cpu") as group, share_job(group, start) as job:
        assert group is not None
        with torch.no_grad():
            step.module.offsets += group.rank  # yet all begin like the first
        train(plan, step, 89, job, group.device, group=group)
        weights = step.module.state_dict()
        if job is not None:
            job.save_checkpoint("result", weights)
        else:
            save_tensors(f"{folder}-{group.rank}.safetensors", weights, {})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
