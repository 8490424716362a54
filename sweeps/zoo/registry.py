"""Names -> Model entries: the embedded zoo, timm's names, the hub's, and what the config describes. Loads no weights.

``timm`` itself is imported only when a name is not in the embedded zoo: planning a sweep must stay fast.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from sweeps.config import SweepConfig, zoo
from sweeps.errors import ConfigError, ModelError, did_you_mean
from sweeps.fingerprint import file_digest, fingerprint
from sweeps.predicates import holds
from sweeps.settings import ModelEntry
from sweeps.types import Model, Row
from sweeps.zoo import hub, tfhub
from sweeps.zoo.cards import cards, released, text_cards

SCRATCH = "mini_resnet_v2_50.scratch"


@cache
def embedded() -> Mapping[str, Model]:
    """The models shipped with the package, from their cards, and one from-scratch baseline."""
    models = {name: _from_card(name, card) for name, card in cards().items()}
    if models:
        twin = models["mini_resnet_v2_50.expert_full"]
        models[SCRATCH] = Model(
            name=SCRATCH, source="timm:mini_resnet_v2_50", pretrained=False, revision="scratch", group="scratch",
            family=twin.family, parameters=twin.parameters, dim=twin.dim, input_size=twin.input_size,
            licence=twin.licence, summary="the experts' architecture, randomly initialised: what pre-training is worth",
        )  # fmt: skip
    return models | {name: _from_text_card(name, card) for name, card in text_cards().items()}


def _from_text_card(name: str, card: Mapping) -> Model:
    """A language model of the embedded zoo; what its card does not say is read from its folder."""
    folder = Path(card["folder"])
    known = hub.facts(folder)
    return Model(
        name=name, source=f"transformers:{folder}", modality="text", group=card.get("group", "language"),
        revision=hub.folder_revision(name, folder),  # the tokenizer is part of what it is
        family=card.get("architecture") or known["family"], dim=card.get("dim") or known["dim"],
        parameters=card.get("parameters") or _parameters(folder / "model.safetensors"),
        upstream=card.get("upstream"), upstream_size=card.get("upstream_size"),
        upstream_accuracy=card.get("upstream_accuracy"), released=card.get("released"), licence=card.get("licence"),
        summary=card.get("summary") or card.get("loss", ""),
    )  # fmt: skip


def _from_card(name: str, card: Mapping) -> Model:
    return Model(
        name=name, source=f"timm:{name}", revision=card["sha256"], group=card["group"], family=card["architecture"],
        parameters=card["parameters"], dim=card["dim"], input_size=card["input_size"], upstream=card["upstream"],
        upstream_size=card["upstream_size"], upstream_accuracy=card["upstream_accuracy"],
        released=released(name), licence=card["licence"], summary=card["loss"],
    )  # fmt: skip


def resolve(config: SweepConfig) -> tuple[Model, ...]:
    """Every model of a sweep, in the order of the config, each name once.

    Raises:
        ConfigError: for a name or pattern that matches nothing, or a name given twice.
        ModelError: for a local folder that holds no timm model.
    """
    found: dict[str, Model] = {}
    for name in config.models:
        found.update({model.name: model for model in _named(name)})
    for entry in config.model:
        if entry.name in found:
            raise ConfigError(f"a model name must be unique, got {entry.name!r} twice")
        found[entry.name] = resolve_entry(entry)
    return tuple(found.values()) if config.where is None else chosen(tuple(found.values()), config.where)


def listed(name: str) -> list[Model]:
    """The models of a zoo as it declares them; only those of its folders are looked at.

    Raises:
        ConfigError: for a zoo that is not there or has faults.
        ModelError: for a local folder that holds no model.
    """
    found = zoo(name)
    return [*(model for pattern in found.models for model in _named(pattern)), *map(_declared, found.model)]


def _declared(entry: ModelEntry) -> Model:
    """An entry without asking the hub which commit its weights are now."""
    kind, _, place = entry.source.partition(":")
    if kind in ("local-dir", "factory") or (kind in ("transformers", "tf-hub") and hub.is_folder(place)):
        return resolve_entry(entry)
    facts = entry.model_dump(exclude={"path", "args"})
    return Model(path=entry.path, args=entry.args, modality="text" if kind == "transformers" else "image", **facts)


def chosen(models: Sequence[Model], where: str) -> tuple[Model, ...]:
    """Those whose facts meet a condition; an unknown fact meets none.

    Raises:
        ConfigError: when none is left.
        DataError: for a condition that cannot be read.
    """
    import pyarrow as pa

    rows = [facts(model) for model in models]
    there = holds(pa.table({key: [row[key] for row in rows] for key in rows[0]}), where).to_pylist() if rows else []
    found = tuple(model for model, holding in zip(models, there, strict=True) if holding)
    if not found:
        raise ConfigError(f"where must leave at least one model, got none of {len(models)} for {where!r}")
    return found


def _named(name: str) -> list[Model]:
    zoo = embedded()
    matches = [model for known, model in zoo.items() if fnmatchcase(known, name)]
    if matches:
        return matches
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        return [resolve_entry(ModelEntry(name=folder.name, source=name, group="user"))]
    if name.startswith("transformers:"):
        place = name.removeprefix("transformers:")
        called = Path(place).resolve().name if hub.is_folder(place) else place
        return [resolve_entry(ModelEntry(name=called, source=name, group="language"))]
    if name.startswith("hf-hub:"):
        called = name.removeprefix("hf-hub:").partition("@")[0]
        return [resolve_entry(ModelEntry(name=called, source=name, group="timm"))]
    import timm

    names = timm.list_pretrained(name) if "*" in name else [name] * _in_timm(name)
    if not names:
        known = [*zoo, *timm.list_models(), *timm.list_pretrained()]
        raise ConfigError(f"models must name known models{did_you_mean(name, known)}")
    return [resolve_entry(ModelEntry(name=found, source=f"timm:{found}", group="timm")) for found in names]


def resolve_entry(entry: ModelEntry) -> Model:
    """The model that a ``[[model]]`` entry describes.

    Raises:
        ConfigError: for a source of no known form.
        ModelError: for a local folder that holds no timm model.
    """
    facts = entry.model_dump(exclude={"path", "args", "revision"})
    kind, _, rest = entry.source.partition(":")
    if kind == "timm" and rest:
        revision = entry.revision or _timm_revision(entry, rest)
    elif kind == "hf-hub" and rest:
        place, _, asked = rest.partition("@")
        facts["source"], revision = f"hf-hub:{place}", hub.commit(entry.name, place, entry.revision or asked)
    elif kind == "local-dir" and rest:
        revision = entry.revision or _folder_revision(entry.name, Path(rest))
        facts["parameters"] = facts["parameters"] or _parameters(Path(rest) / "model.safetensors")
    elif kind == "transformers" and rest:
        facts["modality"] = "text"
        if hub.is_folder(rest):
            folder = Path(rest).resolve()
            facts["source"], revision = (
                f"transformers:{folder}",
                entry.revision or hub.folder_revision(entry.name, folder),
            )
            weights = hub.inner(folder)[0] / "model.safetensors"
            known = hub.facts(folder) | {"parameters": _parameters(weights) if weights.is_file() else None}
            facts |= {key: value for key, value in known.items() if facts[key] is None}
        else:
            revision = hub.commit(entry.name, rest, entry.revision)
    elif kind == "tf-hub" and rest:
        rest = str(Path(rest).resolve()) if hub.is_folder(rest) else rest
        facts["source"], revision = f"tf-hub:{rest}", entry.revision or tfhub.revision(entry.name, rest)
    elif kind == "torchvision" and rest.count(".") == 1:
        revision = entry.revision or rest  # weights of a name never change there
    elif kind == "factory" and rest.count(":") == 1:
        revision = entry.revision or _factory_revision(entry, rest)
    else:
        raise ConfigError(f"model {entry.name!r}: source must be timm:<name>, local-dir:<folder>, hf-hub:<id>, "
                          "torchvision:<name>.<weights>, tf-hub:<handle or folder>, factory:<module>:<function> or "
                          f"transformers:<hub id or folder>, got {entry.source!r}")  # fmt: skip
    return Model(path=entry.path, args=entry.args, revision=revision, **facts)


def _timm_revision(entry: ModelEntry, name: str) -> str:
    """The commit of the weights on the hub; timm's version where there are none, or the hub cannot be asked now."""
    import timm

    if not _in_timm(name):
        known = [*timm.list_models(), *timm.list_pretrained()]
        raise ConfigError(f"source must name a timm model{did_you_mean(name, known)}")
    stated = timm.models.get_pretrained_cfg(name) if entry.pretrained else None
    if stated is not None and stated.hf_hub_id and not stated.file:
        with suppress(ModelError):  # planning needs no network; a model that cannot be had fails as a job
            return hub.commit(entry.name, stated.hf_hub_id, "")
    return f"timm-{timm.__version__}"


def _in_timm(name: str) -> bool:
    """Whether timm knows the architecture and, where the name has one, the tag of the weights."""
    import timm

    architecture, _, tag = name.partition(".")
    return timm.is_model(architecture) and (not tag or name in timm.list_pretrained(f"{architecture}.*"))


def _folder_revision(name: str, folder: Path) -> str:
    config, weights = folder / "config.json", folder / "model.safetensors"
    for path in (config, weights):
        if not path.is_file():
            raise ModelError(f"model {name!r}: the folder must hold {path.name}, got {folder}; save one with "
                             "timm.models.save_for_hf(model, folder, safe_serialization=True)")  # fmt: skip
    return fingerprint([file_digest(config), file_digest(weights)])


def _factory_revision(entry: ModelEntry, target: str) -> str:
    """The factory's source and the weight files beside it that carry the name of the model, when they are there."""
    module, _ = target.split(":")
    folder = Path(entry.path or ".")
    files = [folder / f"{module}.py", *sorted(folder.glob(f"{entry.args.get('name', entry.name)}.*"))]
    return fingerprint([target, dict(entry.args), *(file_digest(path) for path in files if path.is_file())])


def _parameters(weights: Path) -> int:
    """Number of values of a safetensors file, read from its header alone (head included)."""
    with open(weights, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    sizes = 0
    for name, tensor in header.items():
        if name != "__metadata__" and not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            count = 1
            for side in tensor["shape"]:
                count *= side
            sizes += count
    return sizes


def facts(model: Model, measured: Row | None = None) -> Row:
    """The model's row of the ``models`` table; what the embedding measured wins over what was declared."""
    measured = measured or {}
    return {
        "model": model.name, "source": model.source, "group": model.group, "family": model.family,
        "parameters": measured.get("parameters") or model.parameters, "dim": measured.get("dim") or model.dim,
        "input_size": measured.get("input_size") or model.input_size, "upstream": model.upstream,
        "upstream_size": model.upstream_size, "upstream_accuracy": model.upstream_accuracy, "released": model.released,
        "pretrained": model.pretrained, "licence": model.licence, "revision": model.revision, "summary": model.summary,
        "modality": model.modality, "substitute": model.substitute,
    }  # fmt: skip
