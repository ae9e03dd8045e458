"""A checkpoint opened to compute: batches by length, on all cores, within memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final

import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import choose_precision, is_out_of_memory, prefetch, set_threads
from cryosway.protein._checkpoint import Checkpoint, load_network
from cryosway.protein.language._alphabet import Tokens
from cryosway.protein.language._network import use_bf16
from cryosway.protein.language._packed import Packed, plan_batches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from transformers import EsmForMaskedLM

Result = TypeVar("Result")

_MOST_WORKERS = 8  # each of them holds a batch in memory


@final
class TooLongError(CryoswayError):
    """A sequence does not fit into memory, even by itself.

    Attributes
    ----------
    number : int
        Its number among those that were given.
    """

    def __init__(self, length: int, device: torch.device, number: int) -> None:
        super().__init__(
            f"a sequence of {length} residues does not fit into the memory of {device}; cut it "
            "into domains, or leave it out (--skip-bad)"
        )
        self.number = number


@final
class LanguageModel:
    """ESM-2, ready to read sequences.

    On a CPU each core, or group of cores, works on a batch of its own, since batches need no
    waiting for each other, as the parts of one would.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its weights.
    device : torch.device
        Where to compute.
    precision : {"auto", "float32", "bf16"}, optional
        Of matrix products.
    threads : int, optional
        Of the CPU; all by default.
    may_lack : sequence of str, optional
        Parts of the network that the task can do without.

    Attributes
    ----------
    network : EsmForMaskedLM
        On the device.
    precision : {"float32", "bf16"}
        The one used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        *,
        precision: str = "auto",
        threads: int | None = None,
        may_lack: Sequence[str] = ("contact_head",),
    ) -> None:
        from transformers import EsmForMaskedLM

        network: Any = load_network(checkpoint, EsmForMaskedLM, may_lack=may_lack)
        self.precision = choose_precision(precision, device)
        if self.precision == "bf16":
            use_bf16(network)
        self.network: EsmForMaskedLM = network.to(device)
        self.device = device
        self._threads = set_threads(threads)

    @property
    def layers(self) -> int:
        """Layers of the network."""
        return int(self.network.config.num_hidden_layers)

    def compute(
        self,
        work: Callable[["EsmForMaskedLM", Packed], Result],
        sequences: Sequence[Tokens],
        batch_tokens: int,
    ) -> "Iterator[tuple[npt.NDArray[np.int64], Result]]":
        """Do the same work on all sequences, in batches of about equal lengths.

        Parameters
        ----------
        work : callable
            Takes the network and a packed batch on its device.
        sequences : sequence of ndarray
            Tokens of each.
        batch_tokens : int
            Of a batch, about.

        Yields
        ------
        numbers : ndarray of int64
            Which sequences were in the batch, in its order.
        result : object
            What the work gave.

        Raises
        ------
        TooLongError
            When a single sequence does not fit into memory.
        """
        batches = plan_batches([len(tokens) for tokens in sequences], batch_tokens)

        def load(batch: "npt.NDArray[np.int64]") -> "list[tuple[Any, Result]]":
            return list(self._work_within_memory(work, sequences, batch))

        workers = min(self._threads, _MOST_WORKERS) if self.device.type == "cpu" else 1
        torch.set_num_threads(self._threads // workers)
        try:
            for done in prefetch(load, batches, threads=workers if workers > 1 else 0):
                yield from done
        finally:
            torch.set_num_threads(self._threads)

    def _work_within_memory(
        self,
        work: Callable[["EsmForMaskedLM", Packed], Result],
        sequences: Sequence[Tokens],
        batch: "npt.NDArray[np.int64]",
    ) -> "Iterator[tuple[npt.NDArray[np.int64], Result]]":
        """Work on a batch, or on its halves where memory does not suffice."""
        packed = Packed.of([sequences[number] for number in batch]).to(self.device)
        try:
            with torch.inference_mode():
                result = work(self.network, packed)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                length, number = packed.lengths[0] - 2, int(batch[0])
                raise TooLongError(length, self.device, number) from None
        else:
            yield batch, result
            return
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            yield from self._work_within_memory(work, sequences, half)


def split_rows(rows: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    """Give the rows of each sequence of a batch, without those of <cls> and <eos>."""
    return [part[1:-1] for part in rows.split(list(lengths))]
