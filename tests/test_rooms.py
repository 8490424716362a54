"""Which folder may know what: the parts that can be read off the source without running it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("sweeps", "taskrel") for path in (ROOT / package).rglob("*.py"))

# module -> the only places (relative to the root) that may import it
ALLOWED = {
    "ray": ("sweeps/cluster/",),
    "wandb": ("sweeps/track.py", "sweeps/report/wandb_report.py"),
    "wandb_workspaces": ("sweeps/report/wandb_report.py",),
    "pyarrow.parquet": ("sweeps/parquet.py",),
    "tomllib": ("sweeps/config.py",),
    "timm": ("sweeps/zoo/", "sweeps/jobs/"),
    "transformers": ("sweeps/zoo/", "sweeps/jobs/"),
    "duckdb": ("sweeps/sql.py",),
    "huggingface_hub": ("sweeps/hub.py", "sweeps/tasks/repositories.py"),
    "datasets": ("sweeps/tasks/repositories.py",),
    "optuna": ("sweeps/cluster/search.py",),
    "pickle": (),
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("module", ALLOWED)
def test_only_some_rooms_may_import(module):
    guilty = [
        name
        for path in SOURCES
        if not (name := path.relative_to(ROOT).as_posix()).startswith(ALLOWED[module] or ("nowhere",))
        and any(each == module or each.startswith(module + ".") for each in imports(path))
    ]
    assert not guilty


def test_the_check_sees_a_violation(tmp_path):
    (tmp_path / "x.py").write_text("def f():\n    from ray import tune\n")
    assert "ray.tune" in imports(tmp_path / "x.py")


def test_one_broad_except_in_the_system():
    broad = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    ]
    assert {place.split(":")[0] for place in broad} <= {"sweeps/cluster/worker.py", "sweeps/zoo/load.py"}


def kinds_told_apart(path: Path) -> list[int]:
    """Lines that compare a modality with a name of one."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(getattr(side, "attr", getattr(side, "id", "")) == "modality" for side in (node.left, *node.comparators))
        and any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))
    ]


def test_images_and_texts_are_told_apart_by_loaders_and_the_recipe_alone(tmp_path):
    """One code path above the loader: who needs to know looks it up in a table, or asks whether two are the same."""
    (tmp_path / "x.py").write_text("def f(model):\n    return model.modality == 'text'\n")
    assert kinds_told_apart(tmp_path / "x.py") == [2]
    guilty = {path.relative_to(ROOT).as_posix() for path in SOURCES if kinds_told_apart(path)}
    assert {name for name in guilty if not name.startswith("sweeps/zoo/")} <= {"sweeps/tuning.py"}


def test_nothing_pickled_is_loaded():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text
        assert "torch.load(" not in text or "weights_only=True" in text


@pytest.mark.parametrize("module", ["taskrel", "sweeps", "sweeps.run", "sweeps.cli", "sweeps.config"])
def test_light_imports(module):
    heavy = (
        "{'ray', 'wandb', 'torch', 'timm', 'matplotlib', 'duckdb'}"
        if module != "sweeps.run"
        else "{'ray', 'wandb', 'torch', 'timm'}"
    )
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_registry_host_and_no_large_file_is_tracked():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"uv.lock", "poetry.lock"} & set(files)
    assert "://" not in (ROOT / "requirements.lock").read_text()
    large = [name for name in files if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 3_000_000]
    assert not large


@pytest.mark.parametrize("module", ["ray_executor", "search"])
def test_ray_asks_for_a_token_whichever_module_imports_it_first(module):
    """A sweep of which only a search was left once started Ray without the token that its server asked for."""
    code = (f"import sweeps.cluster.{module}, ray\n"
            "assert ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN")  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
