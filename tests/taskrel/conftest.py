"""Shared by the science tests: where the oracles and the published tables are."""

import csv
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "published"

# At the end: tests/taskrel and tests/sweeps must never hide the packages they test.
sys.path.append(str(ROOT / "tests"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small products on busy cores: threads that wait for each other cost minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def published():
    """Reads a published table as a list of string dictionaries, or skips where there is none."""

    def read(name):
        path = PUBLISHED / name
        if not path.exists():
            pytest.skip(f"published table not found: {path}")
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read
