"""What made a number: the code's commit and the versions of the packages that can change it. No secrets, no paths."""

import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("sweeps", "torch", "torchvision", "timm", "transformers", "ray", "optuna", "numpy", "pillow", "pyarrow")


@cache
def provenance() -> dict[str, str]:
    """``commit`` (with ``+dirty`` when files differ from it; "unknown" outside a checkout) and ``versions`` (JSON)."""
    return {"commit": commit(), "versions": json.dumps(versions(), sort_keys=True)}


def versions() -> dict[str, str]:
    """Python's and every listed package's version."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the checkout that this package is in."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
