"""Where a transformers model lies: a folder of the user's own, or the hub's snapshot of a pinned revision.

Reads files and JSON; imports neither torch nor transformers, so that a sweep can be planned with it.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sweeps.errors import ModelError
from sweeps.fingerprint import file_digest, fingerprint
from sweeps.hub import Repository
from sweeps.types import Model

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TEXTS = ("*.json", "*.txt", "*.model")
# What sentence-transformers calls the poolings that are offered here.
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "last"}


def is_folder(place: str) -> bool:
    """Whether the place of ``transformers:<place>`` is a folder; an id of the hub otherwise."""
    return place.startswith((".", "/")) or Path(place).is_dir()


def folder_of(model: Model) -> Path:
    """The folder that a model is loaded from; a hub's files are fetched unless this revision is here already.

    Raises:
        ModelError: for a folder that is not there or a repository that cannot be had, in one line.
    """
    place = model.source.partition(":")[2]
    if is_folder(place):
        if not (Path(place) / "config.json").is_file() and not (Path(place) / "modules.json").is_file():
            raise ModelError(f"model {model.name!r}: the folder must hold config.json, got {place}")
        return Path(place)
    repository = Repository(f"model {model.name!r}", place)
    commit = repository.commit(model.revision)
    found = repository.fetch(commit, (*_TEXTS, "*/*.json", WEIGHTS[0], f"*/{WEIGHTS[0]}"))
    if not any(found.rglob(WEIGHTS[0])):
        found = repository.fetch(commit, (*_TEXTS, "*/*.json", WEIGHTS[1]))
    if not (found / "config.json").is_file() and not (found / "modules.json").is_file():
        raise ModelError(f"model {model.name!r}: {place} must hold config.json, got none; it is no transformers model")
    return found


def inner(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The transformer inside a sentence-transformers folder, with the pooling and the most tokens it was made for.

    A plain transformers folder is its own, with nothing to say.
    """
    modules = folder / "modules.json"
    if not modules.is_file():
        return folder, {}
    parts = [(part["type"].rpartition(".")[2], folder / part["path"]) for part in read_json(modules)]
    inside = next((place for kind, place in parts if kind == "Transformer"), folder)
    hints: dict[str, Any] = {}
    pooling = next((place / "config.json" for kind, place in parts if kind == "Pooling"), None)
    if pooling is not None and pooling.is_file():
        stated = read_json(pooling)
        modes = [name for key, name in _POOLINGS.items() if stated.get(key)]
        modes += [stated["pooling_mode"]] if stated.get("pooling_mode") in _POOLINGS.values() else []
        hints["pooling"] = modes[0] if len(modes) == 1 else None
    limits = inside / "sentence_bert_config.json"
    if limits.is_file():
        hints["max_tokens"] = read_json(limits).get("max_seq_length")
    return inside, hints


@cache
def folder_revision(name: str, folder: Path) -> str:
    """A fingerprint of every file that a model is made of.

    Raises:
        ModelError: for a folder without config.json or without weights.
    """
    inside, _ = inner(folder)
    if not (inside / "config.json").is_file():
        raise ModelError(f"model {name!r}: the folder must hold config.json, got {folder}")
    if not any(next(inside.glob(pattern), None) for pattern in WEIGHTS):
        raise ModelError(f"model {name!r}: the folder must hold {' or '.join(WEIGHTS)}, got {folder}; save one with "
                         "model.save_pretrained(folder) and tokenizer.save_pretrained(folder)")  # fmt: skip
    files = {path for pattern in (*WEIGHTS, *_TEXTS) for path in [*folder.glob(pattern), *folder.glob(f"*/{pattern}")]}
    files -= {path for path in files if path.name == "card.json"}
    return fingerprint([[path.relative_to(folder).as_posix(), file_digest(path)] for path in sorted(files)])


def commit(name: str, place: str, revision: str) -> str:
    """The hub's commit that a branch or tag stands for; a commit is taken as it is, without a request.

    Raises:
        ModelError: when it cannot be known, in one line.
    """
    return Repository(f"model {name!r}", place).commit(revision)


def facts(folder: Path) -> dict[str, Any]:
    """Width of the features and architecture, as far as config.json says."""
    stated: Mapping[str, Any] = read_json(inner(folder)[0] / "config.json")
    dims = (stated.get(key) for key in ("hidden_size", "d_model", "dim", "n_embd"))
    return {"dim": next((dim for dim in dims if isinstance(dim, int)), None), "family": stated.get("model_type")}


def tokenizer_digest(folder: Path) -> str:
    """Names a tokenizer by its files, so that models that share it share what it gave."""
    files = [path for pattern in ("tokenizer*", "vocab*", "merges*", "special_tokens*", "added_tokens*", "*.model")
             for path in folder.glob(pattern)]  # fmt: skip
    return fingerprint([[path.name, file_digest(path)] for path in sorted(set(files))])


def read_json(path: Path) -> Any:
    """What a file of JSON says."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} must be readable JSON, got: {error}") from None
