"""SweepConfig and load(): what to sweep, and of which zoo. The only place that reads TOML; knows no model and no task.

All faults of a file are reported at once, each with its dotted path and, for a misspelt key, the nearest right one.
"""

import json
import sysconfig
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from sweeps.errors import ConfigError, did_you_mean
from sweeps.fingerprint import fingerprint
from sweeps.settings import (
    EARLY,
    Bound,
    Embed,
    Frozen,
    Head2Toe,
    ModelEntry,
    Pool,
    Regret,
    Task2Vec,
    TaskEntry,
    Zoo,
)
from sweeps.tuning import Final, FineTune, Search
from taskrel.proxies import PROXIES

# Where zoos lie that are asked for by name: in a working copy, and where an installation puts its data.
SHELVES = (
    Path(__file__).parents[1] / "ray_configs" / "zoos",
    Path(sysconfig.get_path("data")) / "share" / "sweeps" / "zoos",
)


def _default_proxies() -> dict[str, dict[str, Any]]:
    """Every proxy that the features of the task suffice for: no reference task, no fine-tuning."""
    return {name: {} for name, proxy in PROXIES.items() if "reference" not in proxy.needs}


class SweepConfig(Frozen):
    """What to sweep: models x tasks, the settings of every kind of job, and how selection is judged.

    ``data`` is the folder of prepared tasks, such as ``vtab1k``. ``zoo`` names where some of the models came from: they
    are among ``model`` and ``models``. Of all models, those are swept whose facts meet ``where``.
    """

    name: str
    seed: int = 0
    zoo: str | None = None
    where: str | None = None
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    data: str | None = None
    model: tuple[ModelEntry, ...] = ()
    task: tuple[TaskEntry, ...] = ()
    embed: Embed = Embed()
    proxies: dict[str, dict[str, Any]] = Field(default_factory=_default_proxies)
    finetune: FineTune | None = FineTune()
    search: Search | None = None
    final: Final | None = None
    task2vec: Task2Vec | None = None
    bound: Bound | None = None
    head2toe: Head2Toe | None = None
    regret: Regret = Regret()
    pools: dict[str, Pool] = Field(default_factory=lambda: {"all": Pool()})

    @field_validator("proxies")
    @classmethod
    def _patterns(cls, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """``"*"`` stands for every proxy that needs no reference task, ``"ncti_*"`` for three; a name adds settings."""
        known = [*(name for name, proxy in PROXIES.items() if "reference" not in proxy.needs), EARLY]
        found: dict[str, dict[str, Any]] = {}
        for name, options in given.items():
            matches = [one for one in known if fnmatchcase(one, name)] if "*" in name else [name]
            if not matches:
                raise ValueError(f"proxies must match a known one{did_you_mean(name, known)}")
            for match in matches:
                found[match] = found.get(match, {}) | options if match == name else options | found.get(match, {})
        return found

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that name what is swept."""
        return fingerprint(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _something_to_do(self) -> "SweepConfig":
        if not (self.models or self.model):
            raise ValueError("models must name at least one model, got none; or zoo a zoo")
        if not (self.tasks or self.task):
            raise ValueError("tasks must name at least one task, got none")
        if self.search and not self.finetune:
            raise ValueError("search must have a [finetune] section to search over, got none")
        if self.final and not self.finetune:
            raise ValueError("final must have a [finetune] section that says how, got none")
        return self


def load(path: Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """The sweep described by a TOML file.

    Args:
        path: the file; relative ``path`` entries in it are read from the file's folder.
        overrides: ``dotted.key=value`` pairs in TOML syntax, applied over the file.

    Raises:
        ConfigError: with every fault of the file, one per line.
    """
    path = Path(path)
    data = read_toml(path, "the sweep file")
    for override in overrides:
        override_key(data, override)
    if isinstance(data.get("data"), str):
        data["data"] = str((path.parent / data["data"]).resolve())
    _place(data, path.parent)
    if isinstance(data.get("zoo"), str):
        found = zoo(data["zoo"], path.parent)
        data["models"] = [*found.models, *data.get("models", [])]
        data["model"] = [*(entry.model_dump(exclude_unset=True) for entry in found.model), *data.get("model", [])]
        if found.pools:
            data.setdefault("pools", {name: pool.model_dump() for name, pool in found.pools.items()})
    return parse(data, str(path))


def zoo(name: str, folder: Path = Path()) -> Zoo:
    """The zoo of a name, a TOML file or a folder of checkpoints.

    Args:
        name: one of those shipped, or a path.
        folder: that a relative path starts from.

    Raises:
        ConfigError: for a zoo that is not there, with every fault of its file, or for a folder without checkpoints.
    """
    shipped = {path.stem: path for shelf in SHELVES for path in sorted(shelf.glob("*.toml"))}
    path = shipped.get(name, (folder / name).resolve())
    if path.is_dir():
        return _checkpoints(path)
    if not path.is_file():
        raise ConfigError(f"zoo must name a shipped zoo, a .toml file or a folder of checkpoints"
                          f"{did_you_mean(name, shipped)}")  # fmt: skip
    data = read_toml(path, "the zoo")
    if strange := sorted(data.keys() & SweepConfig.model_fields.keys() - Zoo.model_fields.keys()):
        raise ConfigError(f"{path}: a zoo holds models alone ({', '.join(Zoo.model_fields)}), got {', '.join(strange)} "
                          "of a sweep too; run it with 'sweeps run', or keep its models in a file of their own"
                          )  # fmt: skip
    _place(data, path.parent)
    return _checked(Zoo, data, str(path))


def _checkpoints(folder: Path) -> Zoo:
    """Every folder inside that holds a model of timm's or transformers' form."""
    insides = sorted(path for path in folder.iterdir() if path.is_dir())
    entries = [entry for inside in insides if (entry := checkpoint(inside)) is not None]
    if not entries:
        raise ConfigError(f"a folder that is a zoo must hold folders with a config.json of timm or transformers, "
                          f"got none in {folder}")  # fmt: skip
    return Zoo(model=tuple(entries), summary=f"checkpoints in {folder}")


def checkpoint(folder: Path) -> ModelEntry | None:
    """The model of timm's or transformers' form that a folder holds; None without any.

    Raises:
        ConfigError: for a config.json that is none.
    """
    try:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        stated = {"model_type": "sentence-transformers"} if (folder / "modules.json").is_file() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}/config.json must be readable JSON, got: {error}") from None
    kind = "local-dir" if "architecture" in stated else "transformers" if "model_type" in stated else None
    return None if kind is None else ModelEntry(name=folder.name, source=f"{kind}:{folder}")


def read_toml(path: Path, thing: str) -> dict[str, Any]:
    """What a file of TOML holds, as it stands; ``thing`` is what the reader is told that the file should be.

    Raises:
        ConfigError: if the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{thing} must be readable, got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be valid TOML, got: {error}") from None


def _place(data: Mapping[str, Any], folder: Path) -> None:
    """Paths of entries are read from the folder of their file."""
    for entry in [*_tables(data, "model"), *_tables(data, "task")]:
        if isinstance(entry.get("path"), str):
            entry["path"] = str((folder / entry["path"]).resolve())
        for key in entry.keys() & {"source", "dataset"}:
            entry[key] = _placed(entry[key], folder)


def _placed(source: Any, folder: Path) -> Any:
    """A source with its folder, if it names one, read from the sweep file's own; an id of the hub stays what it is."""
    kind, colon, rest = str(source).rpartition(":")
    if not isinstance(source, str) or kind not in ("", "local-dir", "transformers", "tf-hub"):
        return source
    place = (folder / rest).resolve()
    local = kind == "local-dir" or rest.startswith((".", "/")) or place.is_dir()
    return f"{kind}{colon}{place}" if local else source


def parse(data: Mapping[str, Any], where: str = "config") -> SweepConfig:
    """The sweep described by plain data.

    Raises:
        ConfigError: with every fault, one per line.
    """
    return _checked(SweepConfig, data, where)


M = TypeVar("M", bound=BaseModel)


def _checked(form: type[M], data: Mapping[str, Any], where: str) -> M:
    try:
        return form.model_validate(data)
    except ValidationError as error:
        lines = [_fault(form, item) for item in error.errors()]
        raise ConfigError(f"{where}: " + f"\n{where}: ".join(lines)) from None


def _tables(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = data.get(key, [])
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def override_key(data: dict[str, Any], override: str) -> None:
    """Put one ``dotted.key=value`` pair in TOML syntax into the data of a sweep."""
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"an override must look like key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise ConfigError(f"an override must name a key of a table, got {key!r}")
    data[last] = value


def _fault(form: type[BaseModel], item: Any) -> str:
    dotted = ".".join(str(part) for part in item["loc"]) or "the file"
    if item["type"] == "extra_forbidden":
        return f"{dotted} must be a known key{did_you_mean(str(item['loc'][-1]), _keys(form, item['loc'][:-1]))}"
    if item["type"] == "missing":
        return f"{dotted} must be given, got nothing"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message if dotted == "the file" else f"{dotted}: {message}"
    return f"{dotted}: {message[0].lower()}{message[1:]}, got {item['input']!r}"


def _keys(form: type[BaseModel], location: Iterable[Any]) -> list[str]:
    model: Any = form
    for part in location:
        if isinstance(part, str) and hasattr(model, "model_fields") and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation)
    return list(getattr(model, "model_fields", ()))


def _inner(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part)) is not None), None)
