"""The protein language model ESM-2: tokens, network, training, scores and contacts.

Everything here works on checkpoints in the layout of Hugging Face, through the network classes of
transformers; what is computed, is computed without padding.
"""

from cryosway.protein._mmseqs import find_mmseqs
from cryosway.protein.language._alphabet import tokenise
from cryosway.protein.language._chain_contacts import ChainDistances, read_chain
from cryosway.protein.language._clusters import make_clusters, read_clusters
from cryosway.protein.language._contacts import (
    ContactHead,
    fit_contact_head,
    measure_precision,
)
from cryosway.protein.language._corpus import Corpus
from cryosway.protein.language._embedding import Embeddings, embed_sequences, resolve_layers
from cryosway.protein.language._held_out import HeldOut
from cryosway.protein.language._language_step import LanguageStep, Recipe
from cryosway.protein.language._model import LanguageModel, TooLongError
from cryosway.protein.language._network import encode, encode_layers, predict_tokens, use_bf16
from cryosway.protein.language._packed import Packed, plan_batches
from cryosway.protein.language._presets import (
    SIZES,
    Size,
    build_config,
    build_network,
    write_checkpoint,
)
from cryosway.protein.language._scores import Scores, score_by_masking, score_in_one_pass
from cryosway.protein.language._sharded import shard_network

__all__ = [
    "SIZES",
    "ChainDistances",
    "ContactHead",
    "Corpus",
    "Embeddings",
    "HeldOut",
    "LanguageModel",
    "LanguageStep",
    "Packed",
    "Recipe",
    "Scores",
    "Size",
    "TooLongError",
    "build_config",
    "build_network",
    "embed_sequences",
    "encode",
    "encode_layers",
    "find_mmseqs",
    "fit_contact_head",
    "make_clusters",
    "measure_precision",
    "plan_batches",
    "predict_tokens",
    "read_chain",
    "read_clusters",
    "resolve_layers",
    "score_by_masking",
    "score_in_one_pass",
    "shard_network",
    "tokenise",
    "use_bf16",
    "write_checkpoint",
]
