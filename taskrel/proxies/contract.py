"""What every proxy is: a named, versioned function of probes, and what it needs to be defined.

Holds the checks that all proxies share, so that a proxy's own module is only its formula. Knows no
particular proxy.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from taskrel.types import CannotScore, Probe, Score

Cost = Literal["counts", "product", "decomposition", "training"]
ScoreFunction = Callable[..., Score]

_NEEDS = frozenset({"features", "labels", "val", "source_probs"})


@dataclass(frozen=True)
class Proxy:
    """A cheap predictor of transfer accuracy; higher is better, comparable within one task only.

    Args:
        name: key in tables and configurations.
        function: `score(train, val, *, seed, **settings) -> Score`, or its place as
            "module:attribute", imported on first use.
        version: raised by hand whenever the same input may give another number.
        needs: which of "features", "labels", "val", "source_probs" must be there.
        range: (lowest, highest) possible value.
        cost: what dominates the time: class "counts", one blocked "product", one "decomposition",
            or the "training" of heads.
        citation: where it comes from.
        summary: one line on what the number is.

    Raises:
        ValueError: an unknown need, a version below 1, or a function that is no "module:attribute".
    """

    name: str
    function: str | ScoreFunction
    version: int
    needs: frozenset[str]
    range: tuple[float, float]
    cost: Cost
    citation: str
    summary: str

    def __post_init__(self) -> None:
        unknown = sorted(self.needs - _NEEDS)
        if unknown:
            raise ValueError(f"needs must be among {sorted(_NEEDS)}, got {unknown}")
        if self.version < 1:
            raise ValueError(f"version must be at least 1, got {self.version}")
        if isinstance(self.function, str) and self.function.count(":") != 1:
            raise ValueError(f"function must be 'module:attribute', got {self.function!r}")

    def resolve(self) -> ScoreFunction:
        """The scoring function itself, imported now if it was given by place."""
        if not isinstance(self.function, str):
            return self.function
        module, _, attribute = self.function.partition(":")
        found: ScoreFunction = getattr(importlib.import_module(module), attribute)
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
        self._check(train, val)
        return self.resolve()(train, val, seed=seed, **settings)

    def _check(self, train: Probe, val: Probe | None) -> None:
        if "val" in self.needs and val is None:
            raise CannotScore(f"{self.name} needs a validation part, got none")
        if "source_probs" in self.needs and train.source_probs is None:
            raise CannotScore(f"{self.name} needs source-head probabilities, got none")
        if "labels" in self.needs and len(train.classes) < 2:
            raise CannotScore(
                f"{self.name} needs at least 2 classes among {len(train)} training examples, got {len(train.classes)}"
            )
        if val is None:
            return
        if val.dim != train.dim:
            raise ValueError(f"val features must have dimension {train.dim}, got {val.dim}")
        if (val.labels.dtype.kind == "U") != (train.labels.dtype.kind == "U"):
            raise ValueError(
                f"val labels must be of the same kind as train labels ({train.labels.dtype}), got {val.labels.dtype}"
            )
