"""Which groups of beads are missing in which particles, before anything has moved.

Composition is asked for where motion is looked for, in coarse shells about the reference, and
before it: density that is not there must not bend the model. Whether a group is missing or has
moved away is for the images to say: both explanations are tried, and that with the higher bound on
the likelihood is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import (
    ImageSource,
    find_variable_parts,
    gaussian_divergence,
    learn_shares,
    list_compositions,
    mix_compositions,
    weigh_compositions,
)
from cryosway.methods._options import StructuralOptions
from cryosway.methods._structural.composition import LEAST_SHARE, Composition, measure_gram
from cryosway.methods._structural.groups import BeadGroups, choose_groups, spread_groups
from cryosway.methods._structural.occupancy import say_all_present, say_moved
from cryosway.methods._structural.start import Motion, divide_images
from cryosway.methods._structural.views import BeadViews, ScaleSums
from cryosway.protein import CoarseModel
from cryosway.volumes import Slices

_SCALINGS = 3  # the scale of the views follows from what is present, and the other way round
_SAMPLE = 4_000  # images that decide which groups vary

Places = Callable[[Tensor], Tensor]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Presence:
    """Groups that vary, and how far each is there in every particle.

    Attributes
    ----------
    groups
        That vary, G of them.
    shares
        Shape (C,): of the compositions.
    present
        Shape (particles, G): probabilities.
    """

    groups: BeadGroups
    shares: Tensor
    present: Tensor

    def compose(self, views: BeadViews) -> Composition:
        """Make the mixture that is learnt from here on, with a table of all particles."""
        return Composition(views, self.groups, self.shares, self.present)

    def of(self, rows: Tensor) -> Tensor:
        """Give factors (n, N) of the beads in some particles."""
        return spread_groups(torch.from_numpy(self.groups.part), self.present[rows])


def spread_start(
    motion: Motion, presence: Presence | None, rows: Rows, count: int
) -> tuple[Motion, Presence | None]:
    """Give a start of some rows to all `count` particles: the others have the prior's latents.

    All groups are taken to be there in the others.
    """
    at = torch.from_numpy(rows)
    latents = torch.zeros(count, *motion.latents.shape[1:])
    latents[at] = motion.latents
    if presence is not None:
        present = torch.ones(count, presence.present.shape[1])
        present[at] = presence.present
        presence = replace(presence, present=present)
    return replace(motion, latents=latents), presence


def pack_start(
    motion: Motion, presence: Presence | None
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Give motion and presence as tensors and names, for a checkpoint."""
    tensors = dict(vars(motion))
    if presence is None:
        return tensors, {"groups": []}
    part = torch.from_numpy(presence.groups.part)
    tensors |= {"part": part, "shares": presence.shares, "present": presence.present.contiguous()}
    return tensors, {"groups": list(presence.groups.names)}


def unpack_start(
    tensors: Mapping[str, Any], meta: Mapping[str, Any]
) -> tuple[Motion, Presence | None]:
    """Read what `pack_start` gave."""
    found = {name: torch.as_tensor(value) for name, value in tensors.items()}
    motion = Motion(*(found[field.name] for field in fields(Motion)))
    names = tuple(meta.get("groups", ()))
    if not names:
        return motion, None
    groups = BeadGroups(names, found["part"].numpy())
    return motion, Presence(groups, found["shares"], found["present"])


def find_presence(
    source: ImageSource,
    views: BeadViews,
    reference: Tensor,
    groups: BeadGroups,
    *,
    contrast_sd: float,
    test: bool,
) -> Presence:
    """Find the groups that are missing in some particles, and in which.

    Parameters
    ----------
    source
        Whitened, of coarse shells only.
    views
        Of the whole model.
    reference
        Shape (N, 3), Å.
    groups
        That may be missing.
    contrast_sd
        Prior spread of the contrast.
    test
        Whether groups must be shown to be missing; else all vary.
    """
    parts = Composition(views, groups)
    present = torch.ones(len(source), len(groups))
    chosen = parts.variable
    shares = torch.ones(1)
    for _ in range(_SCALINGS):
        gram = _measure(source, views, parts, reference, present)
        if test:
            rows = np.linspace(0, len(gram) - 1, min(len(gram), _SAMPLE)).astype(np.int64)
            chosen = list(find_variable_parts(gram[rows], parts.variable, contrast_sd).parts)
        if not chosen:
            break
        table = list_compositions(gram.shape[1] - 1, chosen)
        evidence = weigh_compositions(gram, table, contrast_sd)[0]
        shares = learn_shares(evidence)[0].float()
        probability = mix_compositions(evidence, shares.clamp(min=LEAST_SHARE).log())[1]
        present = (probability @ table)[:, parts.variable]
    numbers = [parts.variable.index(part) for part in chosen]
    kept = groups.keep([number + 1 for number in numbers])
    return Presence(kept, shares, present[:, numbers])


def _measure(
    source: ImageSource, views: BeadViews, parts: Composition, reference: Tensor, present: Tensor
) -> Tensor:
    """Gram matrices (particles, parts+1, parts+1), at the scale that goes with what is present."""
    shell = source.disc.shell
    weights = torch.ones(len(source), parts.table.shape[1])
    weights[:, parts.variable] = present
    see = partial(
        _see_parts, source, views, parts, lambda rows: reference.expand(len(rows), -1, -1)
    )
    sums = ScaleSums(len(views.scale))
    for rows, slices, bare in see():
        sums.add(slices, (bare * weights[rows][..., None, None]).sum(1), shell)
    gain = sums.solve()[shell]
    gram = torch.zeros(len(source), weights.shape[1] + 1, weights.shape[1] + 1)
    for rows, slices, bare in see():
        gram[rows] = measure_gram(bare, slices, gain)
    return gram


@torch.no_grad()
def _see_parts(
    source: ImageSource, views: BeadViews, parts: Composition, places: Places
) -> Iterator[tuple[Tensor, Slices, Tensor]]:
    """Give rows, images and bare views of every part, for beads (n, N, 3) at `places` of rows."""
    for batch in source:
        for rows, slices in divide_images(torch.from_numpy(batch.index), batch.slices):
            yield rows, slices, parts.see(views, slices, places(rows))


def find_start(
    source: ImageSource,
    views: BeadViews,
    coarse: CoarseModel,
    options: StructuralOptions,
    find: Callable[[Presence | None], Motion],
    contrast_sd: float,
) -> tuple[Motion, Presence | None, str]:
    """Find what is missing in which particles, and the motion of what is there.

    Parameters
    ----------
    source, views, contrast_sd
        As in `find_presence`.
    coarse
        The reference.
    options
        Say what may be missing.
    find
        Finds the motion that goes with a presence, or with everything present.

    Returns
    -------
    Motion; presence, or none where everything is always there; and a sentence that says so, empty
    where nothing was asked.
    """
    groups = choose_groups(coarse, options)
    if not len(groups):
        return find(None), None, ""
    test = options.occupancy == "auto"
    reference = torch.from_numpy(coarse.coordinates.astype(np.float32))
    presence = find_presence(source, views, reference, groups, contrast_sd=contrast_sd, test=test)
    if not len(presence.groups):
        return find(None), None, say_all_present(groups)
    if not test:
        return find(presence), presence, ""
    motion, kept = choose_start(source, views, reference, presence, find, contrast_sd=contrast_sd)
    return motion, kept, "" if kept is not None else say_moved(presence.groups)


def choose_start(
    source: ImageSource,
    views: BeadViews,
    reference: Tensor,
    presence: Presence,
    find: Callable[[Presence | None], Motion],
    *,
    contrast_sd: float,
) -> tuple[Motion, Presence | None]:
    """Choose between motion with and without missing groups, by the bound on the likelihood.

    Parameters
    ----------
    source, views, reference, contrast_sd
        As in `find_presence`.
    presence
        What it found.
    find
        Finds the motion that goes with a presence, or with everything present.
    """
    missing, present = find(presence), find(None)
    everything = Presence(presence.groups.keep([]), torch.ones(1), presence.present[:, :0])
    bounds = [
        _measure_bound(source, views, reference, motion, who, contrast_sd)
        for motion, who in ((missing, presence), (present, everything))
    ]
    return (missing, presence) if bounds[0] > bounds[1] else (present, None)


def _measure_bound(
    source: ImageSource,
    views: BeadViews,
    reference: Tensor,
    motion: Motion,
    presence: Presence,
    contrast_sd: float,
) -> float:
    """Log likelihood of the images at their latents less the latents' divergence, nats."""
    parts = Composition(views, presence.groups, presence.shares)
    mean, log_variance = motion.latents.unbind(1)
    gain = motion.scale[source.disc.shell]

    def places(rows: Tensor) -> Tensor:
        moved = torch.einsum("nk,kja->nja", mean[rows], motion.base)
        return reference + motion.mean + moved

    total = -float(gaussian_divergence(mean, log_variance).double().sum())
    for _, slices, bare in _see_parts(source, views, parts, places):
        found = parts.explain(bare, slices, gain, contrast_sd)
        total += float(found.log_likelihood.double().sum())
    return total
