"""Job folders, opened: particles, latents and volumes of anything that a command has made."""

from cryosway.jobs._decoder import Decoder, MissingResultError, StoredMaps, require_latent
from cryosway.jobs._job import Job, open_job
from cryosway.jobs._map_finish import MapFinish
from cryosway.jobs._write_volumes import write_volumes

__all__ = [
    "Decoder",
    "Job",
    "MapFinish",
    "MissingResultError",
    "StoredMaps",
    "open_job",
    "require_latent",
    "write_volumes",
]
