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
LANGUAGE_PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")


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


def test_the_sweep_on_the_page_of_language_is_read(tmp_path):
    from sweeps.config import load

    (block,) = re.findall(r"```toml\n(.*?)```", LANGUAGE_PAGE, re.DOTALL)
    (tmp_path / "my_encoder").mkdir()
    (tmp_path / "s.toml").write_text(block)
    config = load(tmp_path / "s.toml")
    assert config.task[0].path == str(tmp_path / "reviews.csv")
    assert config.task[1].dataset == "nyu-mll/glue"
    assert config.model[0].source == "transformers:google/bert_uncased_L-2_H-128_A-2"


def test_the_page_of_language_says_what_the_program_says():
    from sweeps.settings import FineTune, Search
    from sweeps.tasks.hub import HUB_TASKS

    assert set(re.findall(r"`(hub/\w+)`", LANGUAGE_PAGE)) == set(HUB_TASKS)
    recipe = FineTune().recipe("text")
    assert recipe.learning_rates == (1e-5, 2e-5, 5e-5)
    assert {key: recipe.settings[key] for key in ("batch", "weight_decay", "warmup")} == {
        "batch": 32, "weight_decay": 0.01, "warmup": 0.1}  # fmt: skip
    assert Search().range("text") == (1e-6, 5e-4)


@pytest.mark.parametrize("section", ["embed", "finetune", "finetune.text", "search.text"])
def test_every_key_of_these_sections_is_on_the_page_of_configuration(section):
    from sweeps.settings import Embed, FineTune, Range, TextFineTune

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    model = {"embed": Embed, "finetune": FineTune, "finetune.text": TextFineTune, "search.text": Range}[section]
    lines = [line for line in page.splitlines() if line.startswith(f"| `{section}.")]
    for key in model.model_fields:
        assert any(
            f"`{section}.{key}`" in line or f"`.{key}`" in line or f"`{section}.{key}." in line for line in lines
        )


def test_the_zoos_on_the_page_of_models_are_read(tmp_path):
    from sweeps.config import SHELVES, load, zoo

    page = (ROOT / "docs" / "models-and-tasks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (sweep,) = [block for block in blocks if "zoo =" in block]
    (own,) = [block for block in blocks if "summary =" in block]
    (tmp_path / "s.toml").write_text(sweep)
    (tmp_path / "z.toml").write_text(own)
    assert len(load(tmp_path / "s.toml").model) == 46
    found = zoo("z.toml", tmp_path)
    assert found.model[0].source == f"local-dir:{tmp_path / 'checkpoints' / 'our_net'}"
    shipped = {path.stem for path in SHELVES[0].glob("*.toml")}
    assert {name for name in shipped if f"| `{name}` |" in page} == shipped


def test_the_networks_on_the_page_of_models_are_all_there_are():
    from sweeps.zoo.networks import NETWORKS

    page = (ROOT / "docs" / "models-and-tasks.md").read_text(encoding="utf-8")
    named = set()
    for first, *more in re.findall(r"`((?:slim|vtab|bit)/\w+)`(?:, `(_\d+)`)?(?:, `(_\d+)`)?", page):
        named |= {first, *(re.sub(r"_\d+$", end, first) for end in more if end)}
    assert named == set(NETWORKS)
