"""The table of transferability proxies; each lives in its own module.

Adding one is a file, a line here and an oracle in `tests/oracles`: the laws in
`tests/taskrel/test_proxies_laws.py` run over this table. Importing it loads no proxy and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskrel.proxies.contract import Proxy

__all__ = ["PROXIES", "Proxy"]

_TABLE = (
    Proxy(
        name="knn",
        function="taskrel.proxies.knn:score",
        version=1,
        needs=frozenset({"features", "labels", "val"}),
        range=(0.0, 1.0),
        cost="product",
        citation="Renggli et al., Which Model to Transfer?, CVPR 2022",
        summary="accuracy of the nearest training example's label on the validation part",
    ),
    Proxy(
        name="linear",
        function="taskrel.proxies.linear:score",
        version=1,
        needs=frozenset({"features", "labels", "val"}),
        range=(0.0, 1.0),
        cost="training",
        citation="Renggli et al., Which Model to Transfer?, CVPR 2022",
        summary="median validation accuracy of linear heads, best of two learning rates",
    ),
)

PROXIES: Mapping[str, Proxy] = MappingProxyType({proxy.name: proxy for proxy in _TABLE})
