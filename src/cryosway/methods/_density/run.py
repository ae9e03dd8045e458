"""What the ways to make densities have in common: images, and the half-maps without motion."""

from abc import ABC, abstractmethod
from functools import cached_property

import torch

from cryosway.engine import JobFolder
from cryosway.inference import FourierWeights, ImageSource, accumulate_weighted, solve_unmoved
from cryosway.methods._density.data import DensityData
from cryosway.methods._density.results import HalfMaps
from cryosway.methods._options import DensityOptions


class DensityRun(ABC):
    """One run of `density`: stages that leave a checkpoint each.

    Parameters
    ----------
    job
        Folder of the run.
    data
        What the structural job knows.
    options
        Of the run.
    device
        Where to compute.
    """

    def __init__(
        self, job: JobFolder, data: DensityData, options: DensityOptions, device: torch.device
    ) -> None:
        self.job, self.data, self.options, self.device = job, data, options, device

    @abstractmethod
    def run(self) -> None:
        """Do all stages."""

    @cached_property
    def source(self) -> ImageSource:
        """The images, whitened."""
        return self.data.open_source(self.device)

    def solve_unmoved(self) -> tuple[HalfMaps, list[FourierWeights]]:
        """Give the ordinary half-maps, with contrast, and how well their data determine them."""
        kept = self.job.load_checkpoint("unmoved")
        if kept is None:
            count = len(self.data.data)
            progress = self.job.progress(count, "as they are")
            equations = accumulate_weighted(
                self.source, self.data.data.half, self.data.contrast, progress.advance
            )
            maps = torch.stack([solve_unmoved(equations, part) for part in (0, 1)])
            weights = torch.stack([FourierWeights.of(equations, h).weights for h in (0, 1)])
            self.job.save_checkpoint("unmoved", {"maps": maps, "weights": weights.cpu()})
            kept = {"maps": maps, "weights": weights}, {}
        maps, weights = (torch.as_tensor(kept[0][name]) for name in ("maps", "weights"))
        return HalfMaps(maps[0], maps[1]), [FourierWeights(part) for part in weights]
