"""ESMFold networks with random weights, to be trained or tried, in the layout of Hugging Face."""

from pathlib import Path
from typing import Any, Literal

from cryosway.protein._checkpoint import quiet_transformers
from cryosway.protein.language._alphabet import MASK, PAD, VOCABULARY

Size = Literal["tiny", "published"]

_STEMS: dict[Size, dict[str, Any]] = {
    "tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "published": {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 40},
}
_STRUCTURE = {
    "sequence_dim": 32, "pairwise_dim": 16, "ipa_dim": 8, "resnet_dim": 16, "num_heads_ipa": 2,
    "num_blocks": 2, "num_resnet_blocks": 1, "num_qk_points": 4, "num_v_points": 4,
    "dropout_rate": 0.0,
}  # fmt: skip
_TRUNKS: dict[Size, dict[str, Any]] = {
    "tiny": {
        "num_blocks": 1, "sequence_state_dim": 32, "pairwise_state_dim": 16,
        "sequence_head_width": 16, "pairwise_head_width": 8, "structure_module": _STRUCTURE,
    },
    "published": {},
}  # fmt: skip


def make_esmfold(size: Size = "tiny", seed: int = 0) -> Any:
    """Make an `EsmForProteinFolding` of transformers with random weights, float32.

    Parameters
    ----------
    size
        ``tiny`` (some 100,000 weights, for trials) or ``published`` (that of ``esmfold_v1``).
    seed
        Of the weights.
    """
    import torch

    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        from transformers import EsmConfig, EsmForProteinFolding

        torch.manual_seed(seed)
        stem = _STEMS[size]
        config = EsmConfig(
            **stem,
            intermediate_size=4 * stem["hidden_size"],
            vocab_size=len(VOCABULARY),
            vocab_list=list(VOCABULARY),
            mask_token_id=MASK,
            pad_token_id=PAD,
            position_embedding_type="rotary",
            token_dropout=True,
            emb_layer_norm_before=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            is_folding_model=True,
            esmfold_config={"fp16_esm": False, "trunk": _TRUNKS[size]},
        )
        return EsmForProteinFolding(config).float().eval()


def write_esmfold(network: Any, folder: str | Path) -> Path:
    """Write a network as config.json and model.safetensors, which `EsmFold` opens."""
    with quiet_transformers():
        network.save_pretrained(folder)
    return Path(folder)
