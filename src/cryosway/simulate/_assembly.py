"""States of a branched assembly path, as unequally populated as CryoBench's Ribosembly."""

import numpy as np
import pandas as pd

CORE = "core"
#: Blocks by the letters that name them in states.
ASSEMBLY_BLOCKS = {
    "b": "base",
    "i": "interface",
    "c": "centre",
    "p": "protuberance",
    "1": "L1 stalk",
    "7": "L11 stalk",
}
#: Blocks that each state has beside the core: some come in any order.
ASSEMBLY_STATES = ("", "b", "c", "bc", "bc7", "cp", "cp7", "bcp",
                   "bcp7", "bcp1", "bcp17", "bci", "bcip", "bcip7", "bcip1", "bcip17")  # fmt: skip
#: Numbers of images of CryoBench's sixteen assembly states, in order.
ASSEMBLY_COUNTS = (9076, 14378, 23547, 44366, 30647, 38500, 3915, 3980,
                   12740, 11975, 17988, 5001, 35367, 37448, 40540, 5772)  # fmt: skip


def list_assembly_states() -> pd.DataFrame:
    """List number, name and share of every state, and which blocks it has (0 or 1)."""
    table = pd.DataFrame(
        {
            "state": range(len(ASSEMBLY_STATES)),
            "name": [
                "+".join([CORE, *(ASSEMBLY_BLOCKS[x] for x in letters)])
                for letters in ASSEMBLY_STATES
            ],
            "share": np.array(ASSEMBLY_COUNTS) / sum(ASSEMBLY_COUNTS),
        }
    )
    for letter, block in ASSEMBLY_BLOCKS.items():
        table[block] = [int(letter in letters) for letters in ASSEMBLY_STATES]
    return table
