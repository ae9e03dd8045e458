"""Options of `compare`; light, since the command line shows them as help."""

from pydantic import Field

from cryosway.engine import Options


class CompareOptions(Options):
    """Options of `compare`."""

    maps: int = Field(
        6, ge=0, description="groups of particles whose maps are compared; 0: compare latents only"
    )
    neighbours: int = Field(
        50, ge=1, description="nearest particles that jobs should have in common"
    )
    clusters: int | None = Field(
        None,
        ge=2,
        description="classes that latents are cut into; default: one per 200 particles, 2 to 8",
    )
    seed: int = Field(0, ge=0, description="every random number follows from it")
