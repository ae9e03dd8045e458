"""`import_cryodrgn`: a training folder of cryoDRGN as a job."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, hash_file, write_table
from cryosway.jobs import Job, open_job
from cryosway.methods._cryodrgn.data import CryodrgnData, DataPaths
from cryosway.methods._cryodrgn.encoder import CryodrgnEncoder
from cryosway.methods._cryodrgn.folder import TrainingFolder
from cryosway.methods._cryodrgn.model import CryodrgnModel
from cryosway.methods._job_files import PARTICLES_NAME, VolumeIndex
from cryosway.methods._options import ImportCryodrgnOptions

FloatArray = npt.NDArray[np.float64]

COMMAND = "import-cryodrgn"


def import_cryodrgn(
    folder: str | Path, out: str | Path, *, overwrite: bool = False, **options: Any
) -> Job:
    """Open a training folder of cryoDRGN as a job.

    Reads the settings, weights, latents, poses and CTF of ``cryodrgn train_vae``, ``train_dec``,
    ``train_nn`` or ``abinit`` without running any code in them. The job's volumes are those of
    ``cryodrgn eval_vol``, on its scale and with its sign.

    Parameters
    ----------
    folder : path
        What was cryodrgn's ``--outdir``.
    out : path
        Job folder: ``model.safetensors``, the encoder in ``encoder.safetensors`` where there is
        one, ``particles.parquet`` with the latents, ``particles.star`` where the images are
        found, ``volumes/mean.mrc``.
    overwrite : bool
        Whether to delete another job that is in the folder.
    **options
        See `ImportCryodrgnOptions`: epoch; particles, poses, ctf, images_dir where the files are
        no longer where they were in training.

    Returns
    -------
    Job
        Takes `landscape`, `report`, `write_volumes`, ``job.volume(z)``, and `encode` where cryoDRGN
        trained an encoder.

    Raises
    ------
    CryoswayError
        The folder is not one of cryoDRGN's; a file in it is damaged, does not fit the others, or
        asks for code to be run.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.import_cryodrgn("004_vae128", out="sway")  # doctest: +SKIP
    >>> job.volume(job.latents[0]).shape  # doctest: +SKIP
    (128, 128, 128)
    """
    settings = ImportCryodrgnOptions.check(COMMAND, options)
    training = TrainingFolder.open(folder, settings.epoch)
    inputs = {"folder": str(training.path.resolve()), "weights": _digest(training.file("weights"))}
    with JobFolder.start(out, COMMAND, settings, inputs, overwrite=overwrite) as job:
        if not job.already_finished:
            _Import(job, training, settings).run()
    return open_job(out)


def _digest(path: Path) -> str:
    if not path.exists():
        raise CryoswayError(f"{path} does not exist; copy it beside the settings")
    return hash_file(path)


@final
@dataclass(frozen=True)
class _Import:
    """One import, step by step."""

    job: JobFolder
    training: TrainingFolder
    options: ImportCryodrgnOptions

    def run(self) -> None:
        """Read everything, then write the job's files."""
        mean, sd = (None, None)
        if self.training.latent_dim:
            mean, sd = self.training.read_latents()
        options = self.options
        paths = DataPaths(options.particles, options.poses, options.ctf, options.images_dir)
        data = CryodrgnData.find(self.training, paths, None if mean is None else len(mean))
        model = CryodrgnModel.read(self.training, self._choose_pixel_size(data))
        self._write_particles(data, mean, sd)
        encoded = sd is not None
        facts = {
            "latent": None if mean is None else "Encoder" if encoded else "LatentTable",
            "program": f"cryoDRGN {self.training.version}",
            "epoch": self.training.epoch,
            "invert_data": self._inverted,
            **self._keep_encoder(),
        }
        model.save(self.job.path, facts)
        self.job.update(box=model.box, pixel_size=model.pixel_size, program=facts["program"])
        for row in self.training.read_losses():
            self.job.metrics(**row)
        self._decide(data)
        with self.job.stage("volume"):
            self._write_volume(model, mean)

    def _keep_encoder(self) -> dict[str, Any]:
        """Write the encoder where there is one; give what model.json says of it."""
        try:
            encoder = CryodrgnEncoder.read(self.training)
        except CryoswayError as error:
            return {"encoder": None, "no_encoder": str(error)}
        return {"encoder": encoder.save(self.job.path)}

    @property
    def _inverted(self) -> bool:
        return bool(self.training.data.get("invert_data", True))

    def _choose_pixel_size(self, data: CryodrgnData) -> float:
        if data.pixel_size is not None:
            return data.pixel_size
        message = (
            "the pixel size is not known, so 1 Å is written to the maps; give --ctf, or --particles"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=5)
        return 1.0

    def _write_particles(
        self, data: CryodrgnData, mean: FloatArray | None, sd: FloatArray | None
    ) -> None:
        table = data.make_table(None if mean is None else len(mean))
        if table is None:
            return
        columns: dict[str, Any] = {}
        for values, ending in ((mean, ""), (sd, "_sd")):
            if values is not None:
                columns |= {f"z{k}{ending}": column for k, column in enumerate(values.T, start=1)}
        table = pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)
        write_table(self.job.path / "particles.parquet", table)
        if data.particles is not None:
            data.particles.write(self.job.path / PARTICLES_NAME, absolute_paths=True)

    def _decide(self, data: CryodrgnData) -> None:
        training = self.training
        which = "the final weights" if training.epoch is None else f"epoch {training.epoch}"
        self.job.decide("model", which, f"trained by cryoDRGN {training.version}")
        sign = "multiplied the images by −1" if self._inverted else "took the images as they are"
        self.job.decide(
            "sign of the density",
            "as cryodrgn eval_vol",
            f"cryoDRGN {sign}; its sign and scale of density are kept",
        )
        self.job.decide("particles", data.source, data.reason)
        if data.particles is None:
            message = f"the images are not there: {data.reason}"
            warnings.warn(message, CryoswayWarning, stacklevel=6)

    def _write_volume(self, model: CryodrgnModel, mean: FloatArray | None) -> None:
        """Write one map as the consensus: that of the particle in the middle of the latents."""
        z, label = None, "all particles"
        if mean is not None:
            z = mean[int(np.square(mean - mean.mean(0)).sum(1).argmin())]
            label = "the particle nearest to the mean latent"
        index = VolumeIndex(self.job.path, model.pixel_size)
        index.write("mean", model.volume(z), "mean", label, z=z)
