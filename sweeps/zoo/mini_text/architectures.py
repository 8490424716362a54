"""The five architectures, by transformers' own classes: `build(recipe, vocabulary, classes)`."""

from typing import Any

import transformers
from transformers import PreTrainedModel

from .recipes import Recipe
from .tokenization import CLS, MASK, PAD, SEP

_NAMES = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "gpt2": "GPT2", "llama": "Llama"}


def build(recipe: Recipe, vocabulary: int, classes: tuple[str, ...]) -> PreTrainedModel:
    """The recipe's model with the head of its loss, freshly initialised."""
    prefix = _NAMES[recipe.architecture]
    if recipe.loss == "supervised":
        head, labels = "ForSequenceClassification", dict(enumerate(classes))
    else:
        causal = "LMHeadModel" if recipe.architecture == "gpt2" else "ForCausalLM"
        head, labels = {"mlm": "ForMaskedLM", "nsp": "ForPreTraining", "clm": causal}[recipe.loss], None
    config = getattr(transformers, f"{prefix}Config")(
        **_shape(recipe), vocab_size=vocabulary, pad_token_id=PAD, bos_token_id=CLS, eos_token_id=SEP, dtype="float32",
        **({"id2label": labels, "label2id": {name: index for index, name in labels.items()}} if labels else {}),
    )  # fmt: skip
    return getattr(transformers, f"{prefix}{head}")(config)


def _shape(recipe: Recipe) -> dict[str, Any]:
    """The widths under the names that the architecture's configuration has for them; no dropout: one pass is short."""
    r = recipe
    if r.architecture == "distilbert":
        return {"n_layers": r.layers, "dim": r.width, "n_heads": r.heads, "hidden_dim": 2 * r.width, "dropout": 0.0,
                "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "max_position_embeddings": r.length}  # fmt: skip
    if r.architecture == "gpt2":
        return {"n_layer": r.layers, "n_embd": r.width, "n_head": r.heads, "n_inner": 2 * r.width, "resid_pdrop": 0.0,
                "embd_pdrop": 0.0, "attn_pdrop": 0.0, "n_positions": r.length}  # fmt: skip
    shape: dict[str, Any] = {"num_hidden_layers": r.layers, "hidden_size": r.width, "num_attention_heads": r.heads,
             "max_position_embeddings": r.length, "intermediate_size": 2 * r.width}  # fmt: skip
    if r.architecture == "llama":
        return shape | {"intermediate_size": 3 * r.width // 2, "tie_word_embeddings": True}
    shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if r.architecture == "roberta":
        # Positions count on from the padding's number.
        shape |= {"max_position_embeddings": r.length + PAD + 1, "type_vocab_size": 1, "mask_token_id": MASK}
    return shape
