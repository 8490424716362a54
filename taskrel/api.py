"""Proxies for people without the sweep: arrays in, a table of scores or ranks with intervals out.

    >>> import taskrel
    >>> print(taskrel.score(features, labels))                       # one model
    >>> print(taskrel.rank({"a": F1, "b": F2}, labels))              # which of several models to fine-tune
    >>> taskrel.rank({"a": F1, "b": F2}, labels).best("logme")

Scores are comparable within one task only, and a single model cannot be judged alone. One model that fails does not
stop a ranking: its row says why. Knows no proxy by name but the short list that is the default of `rank`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from taskrel.aggregate import COMBINED, combine
from taskrel.proxies import PROXIES, Proxy
from taskrel.resampling import Floats, interval, multiplicities, ranks, replicates
from taskrel.types import CannotScore, Probe

# What is measured of every model by default: one of each kind, none that trains.
CORE = ("logme", "shrinkage_hscore", "lda", "ridge", "knn_loo")


@dataclass(frozen=True)
class Scored:
    """What one proxy says of one model; higher is better.

    Args:
        model: name of the model, "" where there is only one.
        proxy: name of the proxy.
        value: the score, or None with a `reason`.
        low: lower end of the 95 percent interval over resampled examples, or None where there is none.
        high: upper end.
        rank: 1 for the best of several models, equal ones sharing their mean rank; None for one model.
        rank_low: lower end of its interval.
        rank_high: upper end.
        top: share of the resamples in which the model is first.
        seconds: of computing it, what other proxies had computed before not counted again.
        reason: why there is no value.
        detail: small facts about how the value came about.
    """

    model: str
    proxy: str
    value: float | None
    low: float | None = None
    high: float | None = None
    rank: float | None = None
    rank_low: float | None = None
    rank_high: float | None = None
    top: float | None = None
    seconds: float | None = None
    reason: str | None = None
    detail: Mapping[str, object] | None = None


_Found = tuple[Scored, Floats | None]  # a row without ranks, and the replicates of its value


class Scores(Sequence[Scored]):
    """Rows of `Scored`, printed as a table.

    Args:
        rows: in the order in which they are printed.
        notes: what a reader should know before trusting them.
    """

    def __init__(self, rows: Sequence[Scored], notes: Sequence[str] = ()) -> None:
        self.rows, self.notes = tuple(rows), tuple(notes)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Scored]:
        return iter(self.rows)

    def __getitem__(self, key: Any) -> Any:
        """The row at a place, or by proxy name (one model) or (model, proxy)."""
        if isinstance(key, (int, slice)):
            return self.rows[key]
        model, proxy = key if isinstance(key, tuple) else ("", key)
        for row in self.rows:
            if (row.model, row.proxy) == (model, proxy):
                return row
        raise KeyError(key)

    def best(self, proxy: str) -> str:
        """The model that a proxy ranks first; of equals the first by name.

        Raises:
            CannotScore: no model has a score.
        """
        scored = [row for row in self.rows if row.proxy == proxy and row.value is not None]
        if not scored:
            raise CannotScore(f"{proxy} has no score of any model")
        return min(scored, key=lambda row: (-(row.value or 0.0), row.model)).model

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as plain dictionaries, for a data frame or JSON."""
        return [asdict(row) for row in self.rows]

    def __str__(self) -> str:
        named = any(row.model for row in self.rows)
        head = [
            "proxy",
            *(["model"] if named else []),
            "score",
            "95% interval",
            *(["rank", "first in"] if named else []),
        ]
        body = [_line(row, named) for row in self.rows]
        wide = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
        left = 2 if named else 1
        lines = [
            "  ".join(text.ljust(wide[i]) if i < left else text.rjust(wide[i]) for i, text in enumerate(line)).rstrip()
            for line in [head, *body]
        ]
        reasons = [f"no {row.proxy} score{f' of {row.model}' if row.model else ''}: {row.reason}"
                   for row in self.rows if row.reason]  # fmt: skip
        return "\n".join([*lines, *reasons, *(f"note: {note}" for note in self.notes)])


def _line(row: Scored, named: bool) -> list[str]:
    value = "-" if row.value is None else f"{row.value:.4g}"
    bounds = "" if row.low is None or row.high is None else f"{row.low:.4g} to {row.high:.4g}"
    line = [row.proxy, *([row.model] if named else []), value, bounds]
    if named:
        rank = "" if row.rank is None else f"{row.rank:g}"
        if row.rank_low is not None and row.rank_high is not None:
            rank += f" ({row.rank_low:g} to {row.rank_high:g})"
        line += [rank, "" if row.top is None else f"{row.top:.0%}"]
    return line


def score(
    features: Any,
    labels: Any = None,
    proxies: Sequence[str] | None = None,
    *,
    val: tuple[Any, Any] | Probe | None = None,
    source_probs: Any = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    samples: int = 200,
) -> Scores:
    """What the proxies say of one model's features on one labelled task.

    Args:
        features: [n, d] numpy or torch (a tensor on a GPU is scored there), or a `Probe`.
        labels: [n] class ids (integers or strings), 0/1 columns, or floating numbers; see `Probe`.
        proxies: names of `taskrel.proxies.PROXIES`; by default all that the given data suffices for and that train
            nothing.
        val: (features, labels) of a validation part, for the proxies that need one.
        source_probs: [n, Cs] probabilities of the model's own head, for LEEP and its kin.
        settings: proxy name -> settings of its own.
        seed: of everything random in a proxy and of the resamples.
        samples: resamples behind an interval; 0 for none.

    Returns:
        One row per proxy, in the order asked for.

    Raises:
        ValueError: an unknown proxy, or arrays that break the contract of `Probe`.
    """
    train = _probe(features, labels, source_probs)
    held = None if val is None else val if isinstance(val, Probe) else Probe(*val)
    names = list(_sufficient(train, held) if proxies is None else proxies)
    _known(names, PROXIES)
    rows = [_scored("", name, train, held, settings or {}, seed, samples)[0] for name in names]
    return Scores(rows, notes(train))


def rank(
    models: Mapping[str, Any],
    labels: Any = None,
    proxies: Sequence[str] = (*CORE, "rank_mean"),
    *,
    val: Mapping[str, Any] | None = None,
    val_labels: Any = None,
    source_probs: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    samples: int = 200,
) -> Scores:
    """Which of several models suits one labelled task, by each proxy, and how sure the ranks are.

    The same resampled examples serve all models, so that ranks are compared like with like.

    Args:
        models: model -> [n, d] features of the same n examples, each with its own d; or a `Probe` each.
        labels: [n], common to all.
        proxies: names of `PROXIES`, or of `taskrel.aggregate.COMBINED` for scores that are relative to the zoo.
        val: model -> [m, d] validation features, or a `Probe` each.
        val_labels: [m].
        source_probs: model -> [n, Cs]; models without a head are left out of it.
        settings: proxy name -> settings of its own.
        seed: of everything random.
        samples: resamples behind the intervals, at least 1.

    Returns:
        Rows by proxy, best model first; a model without a score comes last, with the reason.

    Raises:
        ValueError: an unknown proxy or no model. Arrays of one model that break the contract are that model's reason.
    """
    if not models:
        raise ValueError("models must hold at least one model, got none")
    names = list(proxies)
    _known(names, {**PROXIES, **COMBINED})
    needed = dict.fromkeys(part for name in names for part in (COMBINED[name].parts if name in COMBINED else (name,)))
    found: dict[str, dict[str, _Found]] = {part: {} for part in needed}
    remarks: dict[str, list[str]] = {}
    for model, features in models.items():
        try:
            train = _probe(features, labels, (source_probs or {}).get(model))
            held = None if val is None or model not in val else _probe(val[model], val_labels, None)
        except ValueError as fault:
            for part in needed:
                found[part][model] = Scored(model, part, None, reason=str(fault)), None
            continue
        for note in notes(train):
            remarks.setdefault(note, []).append(model)
        for part in needed:
            found[part][model] = _scored(model, part, train, held, settings or {}, seed, samples)
    rows = [row for name in names for row in _ranked(_combined(name, found) if name in COMBINED else found[name])]
    return Scores(rows, [f"{', '.join(who)}: {note}" for note, who in remarks.items()])


def notes(train: Probe) -> list[str]:
    """What makes scores of this probe weak evidence, one line each."""
    found = []
    if len(train) <= train.dim:
        found.append(f"{len(train)} examples of {train.dim} features: scores without held-out data saturate")
    if train.target == "classes":
        lone = int((np.unique(train.labels, return_counts=True)[1] < 2).sum())
        if lone:
            found.append(f"{lone} of {len(train.classes)} classes have a single example")
    first = train.features[:1]
    constant = int(((train.features == first).all(0)).sum())
    if constant:
        found.append(f"{constant} of {train.dim} features are constant")
    return found


def _probe(features: Any, labels: Any, source_probs: Any) -> Probe:
    if isinstance(features, Probe):
        return features
    if labels is None:
        raise ValueError("labels must be given with features, got None")
    return Probe(features, labels, source_probs)


def _sufficient(train: Probe, val: Probe | None) -> list[str]:
    given = {"features", "labels"} | ({"val"} if val else set())
    given |= {"source_probs"} if train.source_probs is not None else set()
    return [name for name, proxy in PROXIES.items()
            if proxy.needs <= given and train.target in proxy.targets and proxy.cost != "training"]  # fmt: skip


def _known(names: Sequence[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"proxies must be among {sorted(known)}, got {name!r}")


def _scored(
    model: str, name: str, train: Probe, val: Probe | None, settings: Mapping[str, Mapping[str, Any]], seed: int,
    samples: int,
) -> _Found:  # fmt: skip
    """One row without ranks, and the replicates of its value."""
    proxy: Proxy = PROXIES[name]
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = proxy.score(train, val, seed=seed, **settings.get(name, {}))
    except CannotScore as fault:
        return Scored(model, name, None, reason=str(fault)), None
    seconds = time.perf_counter() - started
    drawn = None
    if samples and found.influence is not None:
        drawn = replicates(found, multiplicities(len(found.influence), samples, seed), proxy.range)
    low, high = interval(drawn) or (None, None)
    return Scored(model, name, found.value, low, high, seconds=seconds, detail=dict(found.detail)), drawn


def _combined(name: str, found: Mapping[str, Mapping[str, _Found]]) -> dict[str, _Found]:
    """A zoo-relative score of every model, and its replicates where all parts have them."""
    parts = COMBINED[name].parts
    models = list(found[parts[0]])
    values = combine(name, {part: [found[part][model][0].value for model in models] for part in parts})
    there = [model for model, value in zip(models, values, strict=True) if value is not None]
    drawn = _combined_replicates(name, {part: [found[part][model][1] for model in there] for part in parts})
    kept = dict(zip(there, drawn, strict=True)) if drawn is not None else {}
    rows: dict[str, _Found] = {}
    for model, value in zip(models, values, strict=True):
        missing = [part for part in parts if found[part][model][0].value is None]
        reason = f"needs {' and '.join(missing)}" if value is None else None
        low, high = interval(kept.get(model)) or (None, None)
        rows[model] = Scored(model, name, value, low, high, reason=reason), kept.get(model)
    return rows


def _combined_replicates(name: str, drawn: Mapping[str, Sequence[Floats | None]]) -> Floats | None:
    """[M, S] the combination in each resample, the same resample for all parts; None where a part has none."""
    stacked = {}
    for part, columns in drawn.items():
        there = [column for column in columns if column is not None]
        if not there or len(there) < len(columns):
            return None
        stacked[part] = np.stack(there)
    samples = next(iter(stacked.values())).shape[1]
    each = [combine(name, {part: columns[:, s].tolist() for part, columns in stacked.items()}) for s in range(samples)]
    return np.array(each, dtype=np.float64).T


def _ranked(found: Mapping[str, _Found]) -> list[Scored]:
    """The rows of one proxy with their ranks, best first, the unscored ones last."""
    scored = [(row, drawn) for row, drawn in found.values() if row.value is not None]
    rest = [row for row, _ in found.values() if row.value is None]
    if not scored:
        return rest
    values = np.array([row.value for row, _ in scored], dtype=np.float64)
    drawn = [column for _, column in scored if column is not None]
    sure = len(drawn) == len(scored)
    standing = ranks(values, np.stack(drawn) if sure else values[:, None])
    rows = [replace(row, rank=float(rank)) for (row, _), rank in zip(scored, standing.rank, strict=True)]
    if sure:
        bounds = zip(rows, standing.low, standing.high, standing.top, strict=True)
        rows = [
            replace(row, rank_low=float(low), rank_high=float(high), top=float(top)) for row, low, high, top in bounds
        ]
    return sorted(rows, key=lambda row: (row.rank, row.model)) + rest
