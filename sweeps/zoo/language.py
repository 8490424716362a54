"""Language models: any transformers encoder, decoder or encoder-decoder (its encoder), with its own tokenizer.

The only place that calls transformers' factories. A sentence-transformers folder gives the transformer inside it.
Code that comes with a model is never run; weights are safetensors, or pickles read with ``weights_only=True``.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from sweeps.errors import ModelError
from sweeps.tasks.tokens import Tokens, tokens
from sweeps.types import Model, Task
from sweeps.zoo.hub import UNKNOWN, WEIGHTS, folder_of, inner, read_json, tokenizer_digest
from sweeps.zoo.load import digest

MOST_TOKENS = 512  # where a text is cut for models that would read more, or say nothing
POOLINGS = ("cls", "mean", "last")

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class TextModel(nn.Module):
    """Trunk, pooling over tokens and, once one is asked for, a linear head started at zero."""

    def __init__(self, trunk: nn.Module, pooling: str, layers: str, head: nn.Linear | None) -> None:
        super().__init__()
        self.trunk, self.pooling, self.layers, self.head = trunk, pooling, layers, head

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits [n, classes], or features [n, d] without a head."""
        output = self.trunk(**inputs, output_hidden_states=self.layers != "last")
        last, states = output.last_hidden_state, getattr(output, "hidden_states", None)
        features = self.features(last, states, inputs["attention_mask"])
        return features if self.head is None else self.head(features)

    def features(self, last: torch.Tensor, states: Any, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, tokens, d] -> [n, d], or [n, layers x d] side by side when the best is still to be chosen.

        A head is trained together with all layers, so it reads the last in place of the best.

        Args:
            last: of the last layer.
            states: of every layer, that of the embedding first; not read for the last alone.
            mask: [n, tokens], 1 at tokens and 0 at padding.
        """
        if self.layers == "mean":
            return self.pool(torch.stack(tuple(states[1:])).mean(dim=0), mask)
        if self.layers == "best" and self.head is None:
            return torch.cat([self.pool(hidden, mask) for hidden in states[1:]], dim=1)
        return self.pool(last, mask)

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[n, tokens, d] -> [n, d], padding left out."""
        if self.pooling == "cls":
            return hidden[:, 0].float()
        if self.pooling == "last":
            return last_token(hidden, mask).float()
        weights = mask.unsqueeze(2).to(torch.float32)
        return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[n, tokens, d] -> [n, d]: the last one that is no padding."""
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]


@dataclass(frozen=True)
class Tokenizer:
    """Texts -> token ids, cut at ``most`` tokens: a :class:`sweeps.tasks.tokens.Encoder`."""

    name: str
    digest: str
    most: int
    inner: Any

    @property
    def key(self) -> list[Any]:
        """What names the ids it gives."""
        return [self.digest, self.most]

    def encode(self, texts: list[str], pairs: list[str] | None) -> tuple[list[list[int]], list[list[int]] | None]:
        """Ids of each text (or pair), and of each token whether it is of the second text, where the model asks."""
        found = self.inner(texts, pairs, truncation=True, max_length=self.most, return_attention_mask=False,
                           return_token_type_ids=pairs is not None)  # fmt: skip
        return found["input_ids"], found.get("token_type_ids")


@dataclass(frozen=True)
class LanguageModel:
    """A trunk with its tokenizer: a :class:`sweeps.zoo.load.Loaded`. ``source`` has its own classifier on the trunk."""

    module: TextModel
    tokenizer: Tokenizer
    padding: int
    segments: bool
    device: torch.device
    parameters: int
    source: nn.Module | None = None

    @property
    def body(self) -> nn.Module:
        """The trunk."""
        return self.module.trunk

    @property
    def head(self) -> nn.Module | None:
        """The new linear head."""
        return self.module.head

    @property
    def layers(self) -> int:
        """Of how many layers the features lie side by side."""
        trunk: Any = self.module.trunk
        return trunk.config.num_hidden_layers if self.module.layers == "best" and self.head is None else 1

    at_once = 256
    note = None

    @property
    def input_size(self) -> int:
        """The most tokens of a text that it reads."""
        return self.tokenizer.most

    def examples(self, task: Task, split: str, cache: Path) -> "Texts":
        """A split, tokenized once for all models of this tokenizer."""
        found = tokens(task, split, self.tokenizer, cache)
        known = self.module.trunk.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
        if found.highest >= known:
            raise ModelError(f"model {self.tokenizer.name!r} must know every token of its tokenizer, got token "
                             f"{found.highest} of {known}")  # fmt: skip
        return Texts(found, torch.from_numpy(np.array(found.labels)), self)

    def embed(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pooled hidden states; the checkpoint's own classifier gives the probabilities in the same pass."""
        with self._precision():
            if self.source is None:
                return self.module(inputs).float(), None
            mask, score = inputs["attention_mask"], getattr(self.source, "score", None)
            output = (self.source if score is None else self.module.trunk)(**inputs, output_hidden_states=True)
            states = output.hidden_states
            features = self.module.features(states[-1], states, mask)
            # A decoder's classifier looks for the last token by the padding's id, which may be that of a token.
            logits = output.logits if score is None else score(last_token(output.last_hidden_state, mask))
        return features.float(), logits.float().softmax(dim=1)

    def logits(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 [n, classes]."""
        with self._precision():
            return self.module(inputs).float()

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where it is faster, on a GPU; weights stay float32."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()


@dataclass(frozen=True)
class Texts:
    """One split as token ids; a batch is padded to its own longest text."""

    tokens: Tokens
    labels: torch.Tensor
    model: LanguageModel

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return int(self.tokens.lengths.max())

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, chosen: slice | torch.Tensor) -> dict[str, torch.Tensor]:
        index = np.arange(len(self))[chosen] if isinstance(chosen, slice) else chosen.numpy()
        ids, types, mask = self.tokens.padded(index, self.model.padding)
        arrays = {"input_ids": ids, "attention_mask": mask}
        if self.model.segments:
            arrays["token_type_ids"] = types
        return {name: torch.from_numpy(array).to(self.model.device, non_blocking=True)
                for name, array in arrays.items()}  # fmt: skip

    def digests(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 [n, 16]: of each text's tokens, or of those at some places."""
        ids, types = self.tokens.ids, self.tokens.types
        chosen = slice(None) if rows is None else rows.numpy()
        ends = self.tokens.ends[chosen]
        places = zip(ends - self.tokens.lengths[chosen], ends, strict=True)
        each = (digest([ids[first:last].tobytes(), types[first:last].tobytes()]) for first, last in places)
        return torch.frombuffer(bytearray(b"".join(each)), dtype=torch.uint8).view(-1, 16)

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """By falling length, so that a batch holds texts of about one length and little padding."""
        order = np.argsort(-self.tokens.lengths, kind="stable")
        return (torch.from_numpy(order[start : start + size]) for start in range(0, len(order), size))


def build(model: Model, classes: int | None, view: Mapping[str, Any], device: str) -> LanguageModel:
    """The trunk with its tokenizer, pooling and head.

    Raises:
        ModelError: for a model that reads no text, needs code of its own, or lacks weights.
    """
    root = folder_of(model)
    folder, hints = inner(root)
    config = _config(model, folder)
    with_source = classes is None and model.pretrained and _classifies(config)
    whole = _weights(model, folder, config, transformers.AutoModelForSequenceClassification if with_source
                     else transformers.AutoModel)  # fmt: skip
    trunk: nn.Module = whole.base_model if with_source else whole.get_encoder() if config.is_encoder_decoder else whole
    tokenizer = _tokenizer(model, folder, config, trunk, view.get("max_tokens") or hints.get("max_tokens"))
    # Padding is masked, so any id will do; only RoBERTa counts its positions by the one in its configuration.
    pads = (config.pad_token_id, tokenizer.inner.pad_token_id, tokenizer.inner.eos_token_id)
    pad = next((number for number in pads if isinstance(number, int) and number >= 0), 0)
    head = None
    if classes is not None:
        head = nn.Linear(_width(config), classes)
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
    module = TextModel(trunk, _pooling(model, config, view, hints), str(view.get("layers") or "last"), head)
    (whole if with_source else module).eval().to(device)
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        padding=pad,
        segments=getattr(config, "type_vocab_size", 0) > 1
        and "token_type_ids" in inspect.signature(trunk.forward).parameters,
        device=torch.device(device),
        parameters=sum(value.numel() for name, value in trunk.named_parameters() if not name.startswith("pooler.")),
        source=whole if with_source else None,
    )


def _config(model: Model, folder: Path) -> Any:
    stated = read_json(folder / "config.json")
    if "auto_map" in stated and stated.get("model_type") not in transformers.CONFIG_MAPPING:
        raise ModelError(f"model {model.name!r} must be of an architecture that transformers knows, got one that needs "
                         "code of its own repository (trust_remote_code), which is never run here")  # fmt: skip
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(getattr(config, "vocab_size", None), int):
        raise ModelError(f"model {model.name!r} must read text, got the model type {config.model_type!r}")
    config.use_cache = False
    return config


def _classifies(config: Any) -> bool:
    """Whether the checkpoint has a classifier whose probabilities can be read in the pass that gives the features.

    Not one that reads a decoder's end (T5, BART), that gives one number, or that takes the last place of a row for the
    last token (XLNet), which is padding here.
    """
    named = (config.architectures or [""])[0].endswith("ForSequenceClassification")
    return (
        named
        and not config.is_encoder_decoder
        and config.num_labels > 1
        and (
            getattr(config, "problem_type", None) in (None, "single_label_classification")
            and getattr(config, "summary_type", None) != "last"
        )
    )


def _weights(model: Model, folder: Path, config: Any, factory: Any) -> Any:
    """The whole model in float32; every weight of the trunk must be there but a pooler's: nothing reads that."""
    if not model.pretrained:
        return factory.from_config(config, dtype=torch.float32, trust_remote_code=False)
    if not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
        raise ModelError(f"model {model.name!r}: the folder must hold {' or '.join(WEIGHTS)}, got {folder}")
    whole, report = factory.from_pretrained(folder, config=config, dtype=torch.float32, weights_only=True,
                                            trust_remote_code=False, output_loading_info=True)  # fmt: skip
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name.split("."))
    if missing:
        raise ModelError(f"model {model.name!r} must have all its weights, got none for {missing[0]!r}"
                         + (f" and {len(missing) - 1} others" if len(missing) > 1 else ""))  # fmt: skip
    return whole


def _tokenizer(model: Model, folder: Path, config: Any, trunk: nn.Module, most: int | None) -> Tokenizer:
    """The folder's tokenizer; texts are cut at ``most`` (512) tokens, or at fewer where there are no more positions."""
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise ModelError(f"model {model.name!r}: the folder must hold a tokenizer, got {folder}: {line}") from None
    if len(found.get_vocab()) <= len(found.all_special_tokens):  # what transformers makes of a folder without one
        raise ModelError(f"model {model.name!r}: the folder must hold a tokenizer, got {folder}: no vocabulary")
    limits = (most or MOST_TOKENS, found.model_max_length, _positions(config, trunk))
    return Tokenizer(model.name, tokenizer_digest(folder), int(min(limit for limit in limits if limit)), found)


def _positions(config: Any, trunk: nn.Module) -> int | None:
    """How many tokens there are positions for; None when there is no end to them. RoBERTa counts from its padding."""
    table = getattr(getattr(trunk, "embeddings", None), "position_embeddings", None)
    if isinstance(table, nn.Embedding):
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    return next((value for name in ("max_position_embeddings", "n_positions")
                 if isinstance(value := getattr(config, name, None), int) and value > 0), None)  # fmt: skip


def _pooling(model: Model, config: Any, view: Mapping[str, Any], hints: Mapping[str, Any]) -> str:
    """What the settings say; else a sentence-transformers folder's own, last for decoders and mean for encoders."""
    kind = config.model_type
    causal = bool(getattr(config, "is_decoder", False)) or (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    causal = causal and not config.is_encoder_decoder
    wanted = view.get("pooling") or "auto"
    if wanted == "auto" and hints.get("pooling") == UNKNOWN:
        raise ModelError(f"model {model.name!r} must pool its tokens by one of {', '.join(POOLINGS)}, its folder says "
                         "otherwise (1_Pooling/config.json); set embed.pooling")  # fmt: skip
    if wanted == "auto":
        return str(hints.get("pooling") or ("last" if causal else "mean"))
    if wanted == "cls" and causal:
        raise ModelError(f"model {model.name!r} is a decoder: pooling must be mean or last, got cls, the one token "
                         "that sees no other")  # fmt: skip
    return str(wanted)


def _width(config: Any) -> int:
    return int(next(getattr(config, name) for name in ("hidden_size", "d_model", "dim", "n_embd")
                    if isinstance(getattr(config, name, None), int)))  # fmt: skip
