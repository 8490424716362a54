"""Whether the models of a zoo can be loaded here: on this disk, in a cache, to be downloaded, or not, and why not."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sweeps.errors import ModelError
from sweeps.hub import COMMIT, Repository
from sweeps.types import Model, Row
from sweeps.zoo import hub, tfhub

State = Literal["local", "cached", "download", "cannot"]
_NO_ANSWER = "no answer from"
_SILENT = {
    "hub": "not in the cache, and no answer from the hub",
    "tf-hub": f"not in the cache, and no answer from {tfhub.ADDRESS}",
}


@dataclass(frozen=True)
class Standing:
    """How it stands with a model: where its weights are, the bytes still to come, and a line when it cannot be had."""

    model: Model
    state: State
    bytes: int | None = None
    fault: str = ""

    @property
    def row(self) -> Row:
        """As plain data."""
        return {
            "model": self.model.name, "source": self.model.source, "group": self.model.group, "state": self.state,
            "bytes": self.bytes, "licence": self.model.licence, "revision": self.model.revision,
            "substitute": self.model.substitute, "fault": self.fault or None,
        }  # fmt: skip


def check(models: Iterable[Model], *, loading: bool = True) -> Iterator[Standing]:
    """One standing per model, in order. Downloads no weights.

    Args:
        models: of a zoo.
        loading: also load what is here, to know that it can be.
    """
    silent: set[str] = set()  # servers that gave no answer: they are not asked for every model
    for model in models:
        try:
            found = _standing(model, silent)
            if loading and found.state in ("local", "cached"):
                from sweeps.zoo.load import load

                load(found.model)
        except ModelError as error:
            line = str(error).removeprefix(f"model {model.name!r}: ")
            if _NO_ANSWER in line:
                silent.add(_server(model))
                line = _SILENT[_server(model)]
            found = Standing(model, "cannot", fault=line)
        yield found


def _standing(model: Model, silent: set[str]) -> Standing:
    kind, _, place = model.source.partition(":")
    if not model.pretrained:
        return Standing(model, "local")
    if kind == "tf-hub":
        return _of_tf_hub(model, place, silent)
    if kind == "torchvision":
        from sweeps.zoo.foreign import torchvision_file, torchvision_weights

        weights = torchvision_weights(model.name, place)
        here = torchvision_file(weights).is_file()
        return (
            Standing(model, "cached") if here else Standing(model, "download", int(weights.meta["_file_size"] * 2**20))
        )
    repository = _repository(model, kind, place)
    if repository is None:
        return Standing(model, "local")
    return _of_hub(model, repository, kind, silent)


def _repository(model: Model, kind: str, place: str) -> str | None:
    """The hub's repository of the weights, None for what is on this disk."""
    if kind == "timm":
        import timm

        from sweeps.zoo.vision import hub_place

        known = timm.models.get_pretrained_cfg(place)
        if known is not None and (known.file or known.state_dict):
            return None
        found = hub_place(place)
        if found is None:
            raise ModelError(f"model {model.name!r}: timm must have weights of {place} on the hub, got none")
        return found
    if kind == "hf-hub":
        return place.partition("@")[0]
    return place if kind == "transformers" and not hub.is_folder(place) else None


def _of_hub(model: Model, place: str, kind: str, silent: set[str]) -> Standing:
    from huggingface_hub.utils import filter_repo_objects

    from sweeps.zoo.vision import WEIGHTS

    commit = model.revision if COMMIT.fullmatch(model.revision) else _kept_commit(place, model.revision)
    if commit is not None and _is_kept(place, commit, WEIGHTS):
        return Standing(replace(model, revision=commit), "cached")
    if "hub" in silent:
        raise ModelError(_SILENT["hub"])
    repository = Repository(f"model {model.name!r}", place)
    commit = commit or repository.commit(model.revision)
    sizes = {file.path: file.size for file in repository.files(commit)}
    offered = (list(filter_repo_objects(sizes, allow_patterns=pattern)) for pattern in WEIGHTS)
    weights = next((names for names in offered if names), None)
    if weights is None:
        raise ModelError(f"{place} must hold {' or '.join(WEIGHTS)}, got none")
    beside = [name for name in sizes if name.endswith((".json", ".txt", ".model"))] if kind == "transformers" else []
    wanted = {*weights, *beside, *({"config.json"} & {*sizes})}
    repository.fetch(commit, ("config.json",))  # the hub lists gated files to everyone: only asking for one tells
    return Standing(replace(model, revision=commit), "download", sum(sizes[name] for name in wanted))


def _kept_commit(place: str, revision: str) -> str | None:
    """The commit that the cache knows a branch by; nobody is asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError

    try:
        found = HfApi().resolve_revision(repo_id=place, revision=revision or "main", local_files_only=True)
    except (RevisionResolutionError, HFValidationError):
        return None
    return str(found.resolved)


def _is_kept(place: str, commit: str, weights: Iterable[str]) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place, "config.json", revision=commit)
    return isinstance(found, str) and any(any(Path(found).parent.glob(pattern)) for pattern in weights)


def _of_tf_hub(model: Model, place: str, silent: set[str]) -> Standing:
    from sweeps.zoo.networks import NETWORKS

    if model.args.get("network") not in NETWORKS:
        raise ModelError(f"network must be one of {', '.join(NETWORKS)}, got {model.args.get('network')!r}")
    if tfhub.is_folder(place):
        tfhub.variables_of(model.name, Path(place))
        return Standing(model, "local")
    if tfhub.prefix(tfhub.folder_of(place)) is not None:
        return Standing(model, "cached")
    if "tf-hub" in silent:
        raise ModelError(_SILENT["tf-hub"])
    try:
        return Standing(model, "download", tfhub.size(place))
    except OSError as error:
        code = getattr(error, "code", None)
        if code is None:
            raise ModelError(_SILENT["tf-hub"]) from None
        raise ModelError(f"{place} is not in {tfhub.cache()}, and {tfhub.ADDRESS} answers {code}") from None


def _server(model: Model) -> str:
    return "tf-hub" if model.source.startswith("tf-hub:") else "hub"


def show(console: Console, found: list[Standing]) -> None:
    """Print a table of standings, what they come to, and each reason once."""
    table = Table("model", "group", "weights", "MB to come", "licence", box=None, pad_edge=False)
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    table.columns[3].justify = "right"
    for each in found:
        star = "*" if each.model.substitute else ""
        size = "" if each.bytes is None else f"{each.bytes / 1e6:,.1f}"
        table.add_row(
            escape(each.model.name) + star, each.model.group, each.state, size, each.model.licence or "unknown"
        )
    console.print(table)
    counts = Counter(each.state for each in found)
    total = sum(each.bytes or 0 for each in found)
    _say(console, f"{len(found)} models: {counts['local']} local, {counts['cached']} cached, {counts['download']} to "
                  f"download ({total / 1e6:,.1f} MB), {counts['cannot']} cannot be loaded")  # fmt: skip
    show_substitutes(console, [each.model for each in found])
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.fault:
            reasons.setdefault(each.fault, []).append(each.model.name)
    for reason, names in reasons.items():
        _say(console, f"cannot be loaded: {_few(names)}: {reason}", "red")


def show_substitutes(console: Console, models: Iterable[Model]) -> None:
    """Print why models are not what their names say, one line each."""
    for model in models:
        if model.substitute:
            _say(console, f"* {model.name}: {model.substitute}", "yellow")


def _say(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def facts_table(models: Iterable[Model]) -> Table:
    """The models with what is known of them beforehand; a star marks substitutes."""
    table = Table("model", "group", "parameters", "dim", "upstream", "upstream accuracy", "licence", box=None,
                  pad_edge=False)  # fmt: skip
    table.columns[0].no_wrap = True
    for model in models:
        table.add_row(
            escape(model.name) + ("*" if model.substitute else ""), model.group,
            "" if model.parameters is None else f"{model.parameters:,}", "" if model.dim is None else str(model.dim),
            model.upstream or "", "" if model.upstream_accuracy is None else f"{model.upstream_accuracy:.3f}",
            model.licence or "",
        )  # fmt: skip
    return table
