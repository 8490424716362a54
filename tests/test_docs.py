"""The pages say what the program says: every score is on its page, and the Python in them runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from taskrel.aggregate import COMBINED
from taskrel.proxies import PROXIES
from taskrel.static import STATIC
from taskrel.stats import FeatureStats

ROOT = Path(__file__).resolve().parents[1]
PROXY_PAGE = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*PROXIES, *COMBINED, *STATIC, "early_stopping"])
def test_every_score_is_on_the_page_of_proxies(name):
    assert f"`{name}`" in PROXY_PAGE


@pytest.mark.parametrize("proxy", PROXIES.values(), ids=list(PROXIES))
def test_the_table_says_what_the_proxy_says(proxy):
    (line,) = [line for line in PROXY_PAGE.splitlines() if line.startswith(f"| `{proxy.name}` | {proxy.summary} |")]
    assert proxy.citation in line
    assert (line.split("|")[6].strip() == "yes") == (proxy.sums is not None)
    changes = {change.strip() for change in line.split("|")[5].split(",") if change.strip()}
    assert changes == set(proxy.invariant_to)


@pytest.mark.parametrize("page", ["README.md", "docs/proxies.md"])
def test_python_on_the_pages_runs(page, capsys):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    features = rng.standard_normal((40, 6)) + np.eye(4, 6)[labels]
    names = {"labels": labels, "features": features, "F1": features, "F2": features**2}
    names |= {"batches": [(features, labels)], "other_workers_stats": FeatureStats().update(features, labels)}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    ran = [block for block in blocks if "taskrel" in block]
    assert ran
    for block in ran:
        exec(compile(block, page, "exec"), dict(names))
    if page == "README.md":
        assert "logme" in capsys.readouterr().out
