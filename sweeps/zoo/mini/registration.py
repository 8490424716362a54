"""Registers the architectures with timm, now if timm is loaded, else right after somebody loads it.

A planner reads the cards and must start fast; loading timm takes seconds. Putting the registration off until timm is
there keeps both promises of the package: no torch for the cards, and no second import before `timm.create_model`.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def register_with_timm() -> None:
    """Register at once if timm is loaded, else ask to be called when it is; asking twice changes nothing."""
    if "timm" in sys.modules:
        _register()
    elif not any(isinstance(finder, _WhenTimmLoads) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenTimmLoads())


def _register() -> None:
    importlib.import_module(".architectures", __package__)


class _WhenTimmLoads(MetaPathFinder):
    """Finds timm as the usual finders do, once, and adds the registration behind its loading."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "timm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_then_register(module: ModuleType) -> None:
            load(module)
            _register()

        spec.loader.exec_module = load_then_register  # type: ignore[method-assign]
        return spec
