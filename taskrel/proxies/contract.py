"""What every proxy is: a named, versioned function of probes, and what it needs to be defined.

Holds the checks that all proxies share, so that a proxy's own module is only its formula. Knows no
particular proxy.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taskrel.types import CannotScore, Probe, Score, Target

if TYPE_CHECKING:
    from taskrel.stats import Sums

Cost = Literal["counts", "product", "decomposition", "fit", "training"]
ScoreFunction = Callable[..., Score]

_NEEDS = frozenset({"features", "labels", "val", "source_probs", "reference"})
_CHANGES = frozenset({"shift", "scale", "rotation", "linear"})
_CALLED = {"classes": "one class per example", "multilabel": "0/1 label columns", "values": "real values"}


@dataclass(frozen=True)
class Proxy:
    """A cheap predictor of transfer accuracy; higher is better, comparable within one task only.

    Args:
        name: key in tables and configurations.
        function: `score(train, val, *, seed, **settings) -> Score`, or its place as
            "module:attribute", imported on first use.
        version: raised by hand whenever the same input may give another number.
        needs: which of "features", "labels", "val", "source_probs", "reference" must be there; a reference is a
            probe of another labelled task through the same model, given as the setting of that name.
        range: (lowest, highest) possible value.
        cost: what dominates the time: class "counts", one blocked "product", one "decomposition", a "fit" to
            convergence, or the "training" of heads.
        citation: where it comes from.
        summary: one line on what the number is.
        targets: the kinds of labels it is defined for: "classes", "multilabel", "values".
        sums: for a proxy that needs only sums over the examples, the place of `value(sums, **settings) -> float`, by
            which it is computed from a stream (`taskrel.stats.FeatureStats`); else None.
        invariant_to: changes of the features that leave it as it is, to rounding: a common "shift", a common positive
            "scale", a "rotation", any invertible "linear" map. Renaming classes and reordering examples never matter.

    Raises:
        ValueError: an unknown need, kind or change, a version below 1, or a function that is no "module:attribute".
    """

    name: str
    function: str | ScoreFunction
    version: int
    needs: frozenset[str]
    range: tuple[float, float]
    cost: Cost
    citation: str
    summary: str
    targets: frozenset[Target] = frozenset({"classes"})
    sums: str | None = None
    invariant_to: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for thing, given, known in (
            ("needs", self.needs, _NEEDS),
            ("targets", self.targets, frozenset(_CALLED)),
            ("invariant_to", self.invariant_to, _CHANGES),
        ):
            if unknown := sorted(given - known):
                raise ValueError(f"{thing} must be among {sorted(known)}, got {unknown}")
        if self.version < 1:
            raise ValueError(f"version must be at least 1, got {self.version}")
        for place in (self.function, self.sums):
            if isinstance(place, str) and place.count(":") != 1:
                raise ValueError(f"function must be 'module:attribute', got {place!r}")

    def resolve(self) -> ScoreFunction:
        """The scoring function itself, imported now if it was given by place."""
        found: ScoreFunction = self.function if not isinstance(self.function, str) else _imported(self.function)
        return found

    def settings(self) -> Mapping[str, object]:
        """Names and defaults of the settings `score` takes besides the seed."""
        parameters = inspect.signature(self.resolve()).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "seed"}

    def score(self, train: Probe, val: Probe | None = None, *, seed: int = 0, **settings: object) -> Score:
        """The proxy's score of one model on one task.

        Args:
            train: labelled training part; never written to.
            val: labelled validation part through the same model, or None.
            seed: non-negative seed of everything random in the score.
            settings: the proxy's own; see `settings()`.

        Returns:
            A score within `range`, higher is better.

        Raises:
            CannotScore: the proxy is undefined on this data; the message says why.
            ValueError: the two parts do not come from the same model and label set.
            TypeError: an unknown setting.
        """
        self._check(train, val, settings)
        return self.resolve()(train, val, seed=seed, **settings)

    def compute(self, sums: Sums, **settings: object) -> float:
        """The value of `score` from sums over the examples, without the examples.

        Args:
            sums: what a stream has summed up (`taskrel.stats.FeatureStats`).
            settings: the proxy's own; see `settings()`.

        Raises:
            CannotScore: the proxy is undefined on this data, or needs more than sums.
        """
        if self.sums is None:
            raise CannotScore(f"{self.name} must see the rows, sums over them do not suffice")
        if sums.target not in self.targets:
            raise CannotScore(self._wants(sums.target))
        if "labels" in self.needs and sums.target == "classes" and len(sums.counts) < 2:
            raise CannotScore(f"{self.name} needs at least 2 classes, got {len(sums.counts)}")
        return float(_imported(self.sums)(sums, **settings))

    def _wants(self, target: str | None) -> str:
        wanted = " or ".join(_CALLED[kind] for kind in _CALLED if kind in self.targets)
        return f"{self.name} needs {wanted} as labels, got {_CALLED.get(target or '', 'none')}"

    def _check(self, train: Probe, val: Probe | None, settings: Mapping[str, object]) -> None:
        if "val" in self.needs and val is None:
            raise CannotScore(f"{self.name} needs a validation part, got none")
        if "source_probs" in self.needs and train.source_probs is None:
            raise CannotScore(f"{self.name} needs source-head probabilities, got none")
        if "reference" in self.needs and settings.get("reference") is None:
            raise CannotScore(f"{self.name} needs a reference task, got none")
        if train.target not in self.targets:
            raise CannotScore(self._wants(train.target))
        if "labels" in self.needs and train.target == "classes" and len(train.classes) < 2:
            raise CannotScore(
                f"{self.name} needs at least 2 classes among {len(train)} training examples, got {len(train.classes)}"
            )
        if len(train) < 2:
            raise CannotScore(f"{self.name} needs at least 2 training examples, got {len(train)}")
        if val is None:
            return
        if val.dim != train.dim:
            raise ValueError(f"val features must have dimension {train.dim}, got {val.dim}")
        if val.target != train.target or (val.labels.dtype.kind == "U") != (train.labels.dtype.kind == "U"):
            raise ValueError(
                f"val labels must be of the same kind as train labels ({train.labels.dtype}), got {val.labels.dtype}"
            )


def declared(place: str) -> frozenset[str] | None:
    """Names of the settings of a scoring function, read from its source without importing it (and torch with it).

    Args:
        place: "module:attribute".

    Returns:
        Its keyword-only parameters but the seed; None where the source does not tell (an object, ``**settings``).

    Raises:
        ValueError: there is no such module.
    """
    module, _, attribute = place.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"function must be in an importable module, got {place!r}")
    try:
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            named = {argument.arg for argument in node.args.kwonlyargs} - {"seed"}
            return None if node.args.kwarg else frozenset(named)
    return None


def _imported(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
