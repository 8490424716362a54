"""What taskrel imports: read from its source, and seen from a fresh interpreter."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "taskrel"
FRIENDS = {"numpy", "scipy", "torch", "sklearn", "ot", "taskrel"}
FOREIGN = {"ray", "wandb", "pyarrow", "sweeps", "timm", "transformers"}


def loaded(*modules):
    """Top-level modules in `sys.modules` after importing `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_a_module_imports_only_mathematics(path):
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            named.add(node.module.split(".")[0])
    assert named <= FRIENDS | sys.stdlib_module_names


@pytest.mark.parametrize(
    "module",
    ["taskrel", "taskrel.types", "taskrel.proxies", "taskrel.strategies", "taskrel.regret"],
)
def test_what_a_planner_imports_is_light(module):
    assert not loaded(module) & (FOREIGN | {"torch", "scipy", "sklearn"})
