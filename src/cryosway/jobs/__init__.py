"""Job folders, opened: particles, latents and volumes of anything that a command has made."""

from cryosway.jobs._decoder import Decoder, MissingResultError, StoredMaps, require_latent
from cryosway.jobs._job import Job, open_job
from cryosway.jobs._map_finish import MapFinish
from cryosway.jobs._verdict import (
    DOUBTFUL,
    SIGNIFICANT,
    Verdict,
    find_validations,
    is_validation,
    read_verdict,
)
from cryosway.jobs._write_volumes import write_volumes

__all__ = [
    "DOUBTFUL",
    "SIGNIFICANT",
    "Decoder",
    "Job",
    "MapFinish",
    "MissingResultError",
    "StoredMaps",
    "Verdict",
    "find_validations",
    "is_validation",
    "open_job",
    "read_verdict",
    "require_latent",
    "write_volumes",
]
