"""Sizes of language models, and how one is made anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import write_atomically, write_json
from cryosway.protein._checkpoint import CONFIG, WEIGHTS, quiet_transformers
from cryosway.protein.language._alphabet import EOS, MASK, PAD, VOCABULARY

if TYPE_CHECKING:
    from transformers import EsmForMaskedLM


class Size(NamedTuple):
    """Of a language model.

    Attributes
    ----------
    layers : int
        Layers.
    width : int
        Channels of a residue's representation.
    heads : int
        Attention heads of a layer, which share the channels.
    """

    layers: int
    width: int
    heads: int


#: The six published sizes of ESM-2, and smaller ones, by their number of parameters.
SIZES = {
    "150K": Size(3, 64, 4),
    "1M": Size(5, 128, 8),
    "3M": Size(6, 192, 12),
    "8M": Size(6, 320, 20),
    "35M": Size(12, 480, 20),
    "150M": Size(30, 640, 20),
    "650M": Size(33, 1280, 20),
    "3B": Size(36, 2560, 40),
    "15B": Size(48, 5120, 40),
}

_TOKENIZER_FILES: dict[str, Any] = {
    "special_tokens_map.json": {
        "cls_token": "<cls>",
        "eos_token": "<eos>",
        "mask_token": "<mask>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    },
    "tokenizer_config.json": {
        "cls_token": "<cls>",
        "eos_token": "<eos>",
        "mask_token": "<mask>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "tokenizer_class": "EsmTokenizer",
    },
}


def build_config(size: Size, crop: int) -> dict[str, Any]:
    """Give the ``config.json`` of a model of a size, in the words of the published ones.

    Parameters
    ----------
    size : Size
        Of the model.
    crop : int
        Tokens of the longest sequence in training.

    Returns
    -------
    dict
        As transformers reads it.
    """
    return {
        "architectures": ["EsmForMaskedLM"],
        "model_type": "esm",
        "num_hidden_layers": size.layers,
        "hidden_size": size.width,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.width,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "emb_layer_norm_before": False,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "rotary",
        "max_position_embeddings": crop + 2,
        "token_dropout": True,
        "is_folding_model": False,
        "vocab_size": len(VOCABULARY),
        "mask_token_id": MASK,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "tie_word_embeddings": True,
    }


def build_network(
    config: dict[str, Any], frequencies: npt.NDArray[np.float64], seed: int
) -> "EsmForMaskedLM":
    """Make a model that knows how often each residue occurs, and nothing else.

    Parameters
    ----------
    config : dict
        From `build_config`.
    frequencies : ndarray, shape (33,)
        Of tokens; the bias of the logits begins at their logarithms.
    seed : int
        Of the other weights.

    Returns
    -------
    EsmForMaskedLM
        On the CPU, float32.
    """
    with quiet_transformers(), torch.random.fork_rng():
        from transformers import EsmConfig, EsmForMaskedLM

        torch.manual_seed(seed)
        network = EsmForMaskedLM(EsmConfig(**config))
    bias = torch.from_numpy(np.log(frequencies))
    network.lm_head.bias.data.copy_(bias)
    return network


def write_checkpoint(folder: Path, network: "EsmForMaskedLM", config: dict[str, Any]) -> None:
    """Write a folder in the layout of Hugging Face, which transformers opens as well.

    Parameters
    ----------
    folder : Path
        Made if need be.
    network : EsmForMaskedLM
        Weights.
    config : dict
        What becomes ``config.json``.
    """
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True, parents=True)
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if name != "lm_head.decoder.weight"  # the table of embeddings itself
    }
    with write_atomically(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    for name, content in _TOKENIZER_FILES.items():
        write_json(folder / name, content)
    with write_atomically(folder / "vocab.txt") as temporary:
        temporary.write_text("\n".join(VOCABULARY))
    write_json(folder / CONFIG, config)
