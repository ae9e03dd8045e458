"""ESM-2 on packed sequences, with the weights and the arithmetic of transformers' modules.

Lin et al., "Evolutionary-scale prediction of atomic-level protein structure with a language
model", Science 379 (2023). A layer adds attention with rotary positions, and a two-layer network,
to its input, each of the layer-normalised input. Here the sequences of a batch lie one after the
other without padding, so that all but attention is one matrix product over all residues.
"""

from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cryosway.protein.language._alphabet import MASK
from cryosway.protein.language._packed import Packed

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM, EsmModel

#: Share of <mask> in training, by which token dropout scales embeddings: 15 % × 80 %.
_MASKED_IN_TRAINING = 0.15 * 0.8

#: Name under which a layer has `run_layer` as a method, where its weights are in pieces.
RUN_LAYER = "run_packed"

_LEAST_SHARE = 0.8  # of the longest sequence that others have which are padded to it


class _Rotation(NamedTuple):
    """cos and sin of the angle of each token and channel, shape (T, 1, D/2), float32."""

    cosine: Tensor
    sine: Tensor


def encode(network: "EsmForMaskedLM", batch: Packed, *, recompute: bool = False) -> Tensor:
    """Compute the last layer's representation, after the final norm.

    Parameters
    ----------
    network : EsmForMaskedLM
        Weights in float32, or those of linear layers in bf16 (see `use_bf16`).
    batch : Packed
        T tokens, on the device of the network.
    recompute : bool, optional
        Whether the gradient computes each layer a second time instead of keeping it in memory.

    Returns
    -------
    Tensor, shape (T, width), float32
        One row per token, those of <cls> and <eos> among them.
    """
    esm = network.esm
    states, rotation = embed_tokens(esm, batch), _rotation_of(esm, batch)
    for layer in esm.encoder.layer:
        run = getattr(layer, RUN_LAYER, None) or partial(run_layer, layer)
        if recompute:
            states = checkpoint(run, states, rotation, batch, use_reentrant=False)
        else:
            states = run(states, rotation, batch)
    return esm.encoder.emb_layer_norm_after(states)


def encode_layers(network: "EsmForMaskedLM", batch: Packed) -> Iterator[Tensor]:
    """Give the representation before the first layer and after each, the last one normed.

    Parameters
    ----------
    network, batch
        As for `encode`.

    Yields
    ------
    Tensor, shape (T, width), float32
        Number n is that of ``hidden_states[n]`` in transformers.
    """
    esm = network.esm
    states, rotation = embed_tokens(esm, batch), _rotation_of(esm, batch)
    yield states
    for number, layer in enumerate(esm.encoder.layer, 1):
        states = run_layer(layer, states, rotation, batch)
        last = number == len(esm.encoder.layer)
        yield esm.encoder.emb_layer_norm_after(states) if last else states


def attention_maps(network: "EsmForMaskedLM", tokens: Tensor) -> Iterator[Tensor]:
    """Give the attention of each layer, one after the other, so that memory holds one only.

    Parameters
    ----------
    network : EsmForMaskedLM
        As for `encode`.
    tokens : Tensor, shape (T,), int64
        Of one sequence.

    Yields
    ------
    Tensor, shape (heads, T, T), float32
        Rows add up to 1.
    """
    esm = network.esm
    batch = Packed(tokens, (len(tokens),))
    states, rotation = embed_tokens(esm, batch), _rotation_of(esm, batch)
    for layer in esm.encoder.layer:
        query, key, _ = _project(layer.attention, states, rotation)
        scores = query.transpose(0, 1).float() @ key.permute(1, 2, 0).float()
        yield scores.softmax(-1)
        states = run_layer(layer, states, rotation, batch)


def predict_tokens(network: "EsmForMaskedLM", states: Tensor) -> Tensor:
    """Compute the logits of tokens from their representations.

    Parameters
    ----------
    network : EsmForMaskedLM
        As for `encode`.
    states : Tensor, shape (..., width)
        From `encode`.

    Returns
    -------
    Tensor, shape (..., 33), float32
        Logits.
    """
    head: Any = network.lm_head
    hidden = head.layer_norm(functional.gelu(_apply(head.dense, states)).float())
    return functional.linear(hidden, head.decoder.weight).float() + head.bias


def use_bf16(network: nn.Module) -> None:
    """Turn the weights of the layers' matrix products into bf16; all else stays float32.

    Norms, residual sums, rotation and the logits are computed in float32, so that the error does
    not grow from layer to layer.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and "decoder" not in name and "regression" not in name:
            module.to(torch.bfloat16)


def embed_tokens(esm: "EsmModel", batch: Packed) -> Tensor:
    """Look tokens up; <mask> is zero, and the others are scaled for it (token dropout).

    Parameters
    ----------
    esm : EsmModel
        Weights.
    batch : Packed
        T tokens.

    Returns
    -------
    Tensor, shape (T, width), float32
        Input of the first layer.
    """
    embeddings: Any = esm.embeddings
    states = embeddings.word_embeddings(batch.tokens)
    if embeddings.token_dropout:
        masked = batch.tokens == MASK
        owners = batch.owners()
        counts = torch.zeros(len(batch.lengths), device=states.device)
        counts = counts.index_add(0, owners, masked.float())
        shares = counts / torch.tensor(batch.lengths, device=states.device)
        scale = (1 - _MASKED_IN_TRAINING) / (1 - shares)
        states = states * (scale[owners] * ~masked)[:, None]
    return states if embeddings.layer_norm is None else embeddings.layer_norm(states)


def _rotation_of(esm: "EsmModel", batch: Packed) -> _Rotation:
    """Compute the angles of rotary positions (Su et al. 2021) by the checkpoint's frequencies."""
    rotary: Any = esm.rotary_embeddings
    frequencies = rotary.inv_freq.float()
    angles = batch.positions().float()[:, None] * frequencies
    return _Rotation(angles.cos()[:, None], angles.sin()[:, None])


def run_layer(layer: Any, states: Tensor, rotation: _Rotation, batch: Packed) -> Tensor:
    """Compute one layer, shape (T, width)."""
    attended = _attend(*_project(layer.attention, states, rotation), batch)
    states = states + _apply(layer.attention.output.dense, attended.flatten(1))
    hidden = functional.gelu(_apply(layer.intermediate.dense, layer.LayerNorm(states)))
    return states + _apply(layer.output.dense, hidden)


def _project(attention: Any, states: Tensor, rotation: _Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Compute queries, keys and values, shape (T, heads, D); queries are scaled before rotation."""
    own = attention.self
    states = attention.LayerNorm(states).to(own.query.weight.dtype)
    shape = (len(states), own.num_attention_heads, own.attention_head_size)
    query, key, value = (
        _apply(part, states).view(shape) for part in (own.query, own.key, own.value)
    )
    return _rotate(query * shape[-1] ** -0.5, rotation), _rotate(key, rotation), value


def _apply(linear: nn.Linear, states: Tensor) -> Tensor:
    return functional.linear(states.to(linear.weight.dtype), linear.weight, linear.bias)


def _rotate(vectors: Tensor, rotation: _Rotation) -> Tensor:
    first, second = vectors.float().chunk(2, -1)
    cosine, sine = rotation
    turned = (
        torch.addcmul(first * cosine, second, sine, value=-1),
        torch.addcmul(second * cosine, first, sine),
    )
    return torch.cat([half.to(vectors.dtype) for half in turned], -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, batch: Packed) -> Tensor:
    """Attend within each sequence; shapes (T, heads, D).

    A CPU takes sequences of equal length together, and in float32, in which it is faster; a GPU,
    which dislikes many small calls, takes those of about equal length, padded.
    """
    if query.is_cuda:
        return _attend_groups(query, key, value, batch, _LEAST_SHARE)
    with torch.autocast("cpu", enabled=False):
        return _attend_groups(query.float(), key.float(), value.float(), batch, 1.0)


def _attend_groups(
    query: Tensor, key: Tensor, value: Tensor, batch: Packed, least_share: float
) -> Tensor:
    ends = [0, *accumulate(batch.lengths)]
    parts = []
    for group in batch.groups(least_share):
        rows = slice(ends[group.start], ends[group.stop])
        parts.append(_attend_group([x[rows] for x in (query, key, value)], batch.lengths[group]))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_group(vectors: list[Tensor], lengths: tuple[int, ...]) -> Tensor:
    """Attend in sequences of a group at once, padded to the longest if need be."""
    longest = max(lengths)
    if min(lengths) == longest:
        shape = (len(lengths), longest)
        query, key, value = (x.unflatten(0, shape).transpose(1, 2) for x in vectors)
        found = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        return found.transpose(1, 2).flatten(0, 1)
    device = vectors[0].device
    inside = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
    query, key, value = (_pad(x, inside).transpose(1, 2) for x in vectors)
    mask = inside[:, None, None]
    found = functional.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
    return found.transpose(1, 2)[inside]


def _pad(vectors: Tensor, inside: Tensor) -> Tensor:
    table = vectors.new_zeros(*inside.shape, *vectors.shape[1:])
    table[inside] = vectors
    return table
