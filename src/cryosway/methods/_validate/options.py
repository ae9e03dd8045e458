"""Options of `validate`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cryosway.engine import Options
from cryosway.methods._options import SEED

Part = Literal["null", "halves", "leakage", "support", "convergence", "truth"]


def _check_nulls(count: int) -> int:
    if count < 2:
        msg = f"nulls is {count}, but a spread needs two: give 2 and more, or leave null out"
        raise ValueError(msg)
    return count


class ValidateOptions(Options):
    """Options of `validate`."""

    parts: tuple[Part, ...] = Field(
        (),
        description="what to check: null halves leakage support convergence truth; default: all "
        "that the job allows",
    )
    nulls: Annotated[int, AfterValidator(_check_nulls)] = Field(
        3, description="null: simulated homogeneous copies of the data that the method is fitted to"
    )
    permutations: int = Field(
        499, ge=19, description="leakage: random orders that a p-value is counted from"
    )
    states: int | None = Field(
        None, ge=1, description="states that are looked at; default: the clusters of landscape"
    )
    volume: tuple[Path, ...] = Field(
        (), description="support: also look for what is in this map (.mrc); may be repeated"
    )
    truth: Path | None = Field(
        None,
        description="truth.parquet of a simulation, with the true maps in volumes/ beside it; or "
        "the folder of a set of bench, or of CryoBench",
    )
    truth_models: Path | None = Field(
        None,
        description="folder of a true model (.cif, .pdb) per state, in order, for structural jobs",
    )
    particles: Path | None = Field(
        None, description="particles in the poses given to the job, if the job has changed them"
    )
    seed: int = SEED
