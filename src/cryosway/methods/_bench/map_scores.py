"""Maps of a result against the true ones, image by image and state by state; goes on if stopped."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder
from cryosway.methods._bench.folder_result import FolderResult
from cryosway.methods._bench.result import Result, match_grid
from cryosway.methods._bench.truth_set import TruthSet
from cryosway.validate import (
    MapScorer,
    VolumeAlignment,
    align_frame,
    align_volumes,
    resize_volume,
    score_indices,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Volume = NDArray[np.float32]

_SKETCH = 32  # voxels a side on which maps are matched with true states
_FRAME_MAPS = 10
_EVERY = 10  # images between checkpoints


@dataclass
class MapScores:
    """Scores of the maps of a result.

    Attributes
    ----------
    rows
        Shape (n,): images whose maps are scored.
    images
        Shape (n, 2): masked and unmasked AUC-FSC of each with the true map of its state.
    nearest
        Shape (n,): the true state that each map is most like.
    likeness
        Shape (n,): correlation with it.
    candidates
        Shape (C,): the true states that maps are compared with, in order.
    states
        Shape (C, 2): scores of the map at the mean latent of each; NaN where there is none.
    by_latent
        Whether `states` are of such maps, or else means over the images of each state.
    consensus
        Shape (n, 2): scores of the consensus against the same truths.
    consensus_kind
        Where that map is from.
    true_consensus
        Shape (n, 2): scores of the mean of the true maps.
    """

    rows: IntArray
    images: FloatArray
    nearest: IntArray
    likeness: FloatArray
    candidates: IntArray
    states: FloatArray
    by_latent: bool
    consensus: FloatArray
    consensus_kind: str
    true_consensus: FloatArray


@dataclass
class MapJudge:
    """Scores the maps of one result.

    Attributes
    ----------
    truth
        The set.
    result
        What is scored.
    scorer
        True maps and mask.
    frame
        How maps are brought into the frame of the truth; None leaves them as they are.
    each
        Whether every map is aligned by itself, from that frame.
    candidates
        True states that maps are compared with; `choose_rows` finds them.
    """

    truth: TruthSet
    result: Result
    scorer: MapScorer
    frame: VolumeAlignment | None = None
    each: bool = False
    candidates: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    _sketches: FloatArray | None = field(default=None, repr=False)

    @property
    def box(self) -> int:
        """Voxels a side of the true maps."""
        return len(self.scorer.mask)

    def choose_rows(self, scored: int) -> IntArray:
        """Choose images as CryoBench does, less junk and those that the result does not have.

        Where a result has maps of certain images only, those are scored.

        Raises
        ------
        CryoswayError
            If none is left.
        """
        rows = score_indices(len(self.truth.states), scored)
        if isinstance(self.result, FolderResult):
            self.result.take_scored(rows)
        given = self.result.images
        if given is not None:
            rows = given
        else:
            rows = rows[[int(row) in self.result.places for row in rows]]
        rows = rows[self.truth.states[rows] >= 0]
        self.candidates = self.truth.choose_states(rows)
        if given is None and len(rows) == 0:
            msg = f"{self.result.path} has none of the {scored} images that are scored"
            raise CryoswayError(msg)
        return rows

    def find_frame(self, rows: IntArray) -> None:
        """Find the frame of the result's maps from some of them."""
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, _FRAME_MAPS).astype(int))]
        maps = [self._load(int(row)) for row in chosen]
        self.frame = align_frame(maps, self._mean_truth())

    def _load(self, row: int) -> Volume:
        return match_grid(self.result.map_of(row), self.box, self.result.path)

    def _bring(self, volume: Volume, state: int) -> Volume:
        """Bring a map into the frame and onto the grid of the truth."""
        found = match_grid(volume, self.box, self.result.path)
        if self.frame is None:
            return found
        frame = self.frame
        if self.each:
            frame = align_volumes(found, self.scorer.truths[state], start=frame)
        return frame.apply(found)

    def _mean_truth(self) -> Volume:
        shares = self.truth.populations[self.candidates]
        total = np.zeros((self.box,) * 3, np.float32)
        for state, share in zip(self.candidates, shares / shares.sum(), strict=True):
            if share > 0:
                total += np.float32(share) * self.truth.volumes[int(state)]
        return total

    def score(self, job: JobFolder, rows: IntArray) -> MapScores:
        """Score everything; the images' scores are kept as they come."""
        images = self._score_images(job, rows)
        states = self.truth.states[rows]
        own, kind = self._find_consensus(rows)
        # One consensus has one score for each state.
        consensus, true_consensus = (
            _spread(states, lambda s, m=m: self.scorer.score(m, s))
            for m in (own, self._mean_truth())
        )
        by_state, by_latent = self._score_states(states, images[:, :2])
        return MapScores(
            rows, images[:, :2], images[:, 2].astype(np.int64), images[:, 3], self.candidates,
            by_state, by_latent, consensus, kind, true_consensus,
        )  # fmt: skip

    def _score_images(self, job: JobFolder, rows: IntArray) -> FloatArray:
        """Columns: masked, unmasked, nearest state, likeness."""
        found = np.full((len(rows), 4), np.nan)
        earlier = job.load_checkpoint("images")
        done = 0
        if earlier:
            done = int(earlier[1]["done"])
            found[:done] = np.asarray(earlier[0]["scores"])[:done]
        known: dict[tuple[int, int], FloatArray] = {}
        with job.progress(len(rows), "maps of images", done=done) as progress:
            for place in range(done, len(rows)):
                row = int(rows[place])
                state = int(self.truth.states[row])
                key = (self.result.map_key(row), state)
                if key not in known:
                    volume = self._bring(self.result.map_of(row), state)
                    known[key] = np.array(
                        [*self.scorer.score(volume, state), *self._find_nearest(volume)]
                    )
                found[place] = known[key]
                progress.advance()
                if (place + 1) % _EVERY == 0:
                    job.save_checkpoint("images", {"scores": found}, {"done": place + 1})
        job.save_checkpoint("images", {"scores": found}, {"done": len(rows)})
        return found

    def _find_nearest(self, volume: Volume) -> tuple[float, float]:
        """Give the true state that a map is most like, and their correlation in the mask."""
        if self._sketches is None:
            volumes = (self.truth.volumes[int(state)] for state in self.candidates)
            self._sketches = np.array([self._sketch(volume) for volume in volumes])
        likeness = np.abs(self._sketches @ self._sketch(volume))  # dark maps are like, too
        return float(self.candidates[likeness.argmax()]), float(likeness.max())

    def _sketch(self, volume: Volume) -> FloatArray:
        small = resize_volume(volume * self.scorer.mask, min(_SKETCH, self.box)).ravel()
        centred = np.asarray(small, np.float64) - small.mean()
        return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-30))

    def _find_consensus(self, rows: IntArray) -> tuple[Volume, str]:
        own = self.result.consensus()
        if own is not None:
            return self._bring(own, int(self.truth.states[rows[0]])), "its own"
        chosen = {self.result.map_key(int(row)): int(row) for row in rows}
        counts = dict.fromkeys(chosen, 0)
        for row in rows:
            counts[self.result.map_key(int(row))] += 1
        total = np.zeros((self.box,) * 3, np.float32)
        for key, row in chosen.items():
            total += (
                counts[key]
                / len(rows)
                * self._bring(self.result.map_of(row), int(self.truth.states[row]))
            )
        return total, "mean of its scored maps"

    def _score_states(self, scored: IntArray, scores: FloatArray) -> tuple[FloatArray, bool]:
        """Score the map at the latent nearest to the mean latent of every state (CryoBench)."""
        found = np.full((len(self.candidates), 2), np.nan)
        latents = self.result.latents
        states = self.truth.states[self.result.rows]
        decodes = latents is not None and self.result.map_at(latents[0]) is not None
        if not decodes or latents is None:
            for place, state in enumerate(self.candidates):
                if (mine := scored == state).any():
                    found[place] = scores[mine].mean(axis=0)
            return found, False
        for place, state in enumerate(self.candidates):
            if not (states == state).any():
                continue
            mine = latents[states == state]
            near = mine[np.square(mine - mine.mean(axis=0)).sum(axis=1).argmin()]
            volume = self.result.map_at(near)
            assert volume is not None
            found[place] = self.scorer.score(self._bring(volume, int(state)), int(state))
        return found, True


def _spread(states: IntArray, score: Any) -> FloatArray:
    """Score each state once; give shape (n, 2) for the images."""
    found = {int(state): score(int(state)) for state in np.unique(states)}
    return np.array([found[int(state)] for state in states])
