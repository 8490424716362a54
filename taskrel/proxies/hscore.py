"""H-score: how much of the feature variance lies between classes, plain and with a shrunk covariance."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.spectrum import Spectrum
from taskrel.stats import Sums
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """tr(cov(F)^-1 cov(E[F|y])): the sum of squared canonical correlations between features and classes.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        In [0, min(C - 1, rank)]. With n - 1 independent features or more it is C - 1 whatever they are, and
        `detail["saturated"]` says so.

    Source:
        Bao et al., H-score, ICIP 2019. In the directions of the features that are not null: the authors' pseudo-inverse
        explodes on single-precision features, and published tables break the bound; spec/proxies.md 4.2.
    """
    del val, seed
    seen = rows(train)
    spectrum = seen.spectrum
    value = hscore(seen)
    detail = {"rank": spectrum.rank, "saturated": _saturated(spectrum)}
    influence = _influence(seen, spectrum.values / spectrum.examples, 0.0, value)
    return Score(value, (value,), detail, influence.cpu().numpy())


def hscore(sums: Sums) -> float:
    """The same from sums over the examples."""
    spectrum = sums.spectrum
    if _saturated(spectrum):
        return float(len(spectrum.sums) - 1)  # exactly, so that rounding ranks no models
    return float((spectrum.left.square() / spectrum.sums[:, None]).sum())


def _saturated(spectrum: Spectrum) -> bool:
    """Whether the rows are independent, so that any labels are a linear function of them."""
    return spectrum.rank >= spectrum.examples - 1


def shrinkage_score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """The H-score with the Ledoit-Wolf estimate of the covariance: (1 - a) tr(S_a^-1 S_between).

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        At least 0 and below n / (n - 1) times the number of classes less one; `detail["shrinkage"]` is a in [0, 1]. The
        influence holds a fixed.

    Source:
        Ibrahim et al., Newer is not always better, 2021; the between-class covariance divides by n - 1 and the total
        one by n, as in their code; spec/proxies.md 4.2.
    """
    del val, seed
    seen = rows(train)
    value, shrunk = _shrunk(seen.spectrum)
    influence = _influence(seen, shrunk.values, shrunk.intensity, value)
    return Score(value, (value,), {"shrinkage": shrunk.intensity}, influence.cpu().numpy())


def shrinkage_hscore(sums: Sums) -> float:
    """The same from sums over the examples."""
    return _shrunk(sums.spectrum)[0]


class Shrunk(NamedTuple):
    """Ledoit-Wolf: the covariance's eigenvalues [k] drawn towards their mean over all d, by `intensity`."""

    values: Tensor
    intensity: float


def ledoit_wolf(spectrum: Spectrum) -> Shrunk:
    """The covariance (1 - a) S + a tr(S)/d I with the a that Ledoit and Wolf (2004) estimate."""
    n, d = spectrum.examples, spectrum.dim
    values = spectrum.values / n
    square, trace = float(values.square().sum()), float(values.sum())
    noise = (spectrum.fourth / n - square) / (n * d)
    spread = (square - trace**2 / d) / d
    intensity = min(noise, spread) / spread if spread > 1e-14 * square / d else 0.0
    return Shrunk((1 - intensity) * values + intensity * trace / d, intensity)


def _shrunk(spectrum: Spectrum) -> tuple[float, Shrunk]:
    shrunk = ledoit_wolf(spectrum)
    between = (spectrum.sums[:, None] * spectrum.offsets.square() / shrunk.values).sum()
    return (1 - shrunk.intensity) * float(between) / (spectrum.examples - 1), shrunk


def _influence(seen: Rows, values: Tensor, intensity: float, value: float) -> Tensor:
    """[n] first-order effect of each example on (1 - a) tr(S_a^-1 B), `values` the eigenvalues of S_a.

    With S and B the total and between-class covariance, an example x of class y moves S by xxᵀ - S and B by
    x m_yᵀ + m_y xᵀ - m_y m_yᵀ - B, m_y the offset of its class.
    """
    spectrum, n = seen.spectrum, seen.examples
    offsets = spectrum.offsets
    scaled = offsets / values  # [C, k] S_a^-1 m_c
    coordinates = seen.coordinates()
    along = coordinates @ scaled.T  # [n, C]
    own = along.gather(1, seen.ids[:, None]).squeeze(1)
    own_square = (offsets * scaled).sum(dim=1)[seen.ids]
    shares = spectrum.sums / n
    # tr(S_a^-1 dS_a S_a^-1 B) = (1 - a)(sum_c p_c (x S_a^-1 m_c)^2 - its mean) + a (|x|^2 - tr S)/d * tr(S_a^-2 B)
    moved = (1 - intensity) * (along.square() @ shares)
    if intensity:
        lengths = seen.centred.square().sum(dim=1)
        moved += intensity * lengths / seen.dim * float((shares[:, None] * scaled.square()).sum())
    each = 2 * own - own_square - moved
    scale = (1 - intensity) * (n / (n - 1) if intensity else 1.0)
    return scale * (each - each.mean())
