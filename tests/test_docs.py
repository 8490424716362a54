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
    from sweeps.tasks.hub import HUB_TASKS
    from sweeps.tuning import FineTune, Search

    assert set(re.findall(r"`(hub/\w+)`", LANGUAGE_PAGE)) == set(HUB_TASKS)
    recipe = FineTune().recipe("text")
    assert recipe.learning_rates == (1e-5, 2e-5, 5e-5)
    assert {key: recipe.settings[key] for key in ("batch", "weight_decay", "warmup")} == {
        "batch": 32, "weight_decay": 0.01, "warmup": 0.1}  # fmt: skip
    assert Search().range("text") == (1e-6, 5e-4)


@pytest.mark.parametrize("section", ["embed", "finetune", "finetune.text", "search.text", "bound", "bound.search"])
def test_every_key_of_these_sections_is_on_the_page_of_configuration(section):
    from sweeps.settings import Bound, Embed, TauSearch
    from sweeps.tuning import FineTune, Range, TextFineTune

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    model = {"embed": Embed, "finetune": FineTune, "finetune.text": TextFineTune, "search.text": Range,
             "bound": Bound, "bound.search": TauSearch}[section]  # fmt: skip
    lines = [line for line in page.splitlines() if line.startswith(f"| `{section}.")]
    for key in model.model_fields:
        if f"[{section}.{key}]" in page:  # a section of its own
            continue
        assert any(
            f"`{section}.{key}`" in line or f"`.{key}`" in line or f"`{section}.{key}." in line for line in lines
        )


def test_the_page_of_tasks_says_what_the_program_says(tmp_path):
    from sweeps.config import load
    from sweeps.tasks.inspection import LARGE, SMALL
    from sweeps.tasks.load import MAPPED
    from sweeps.tasks.pictures import LEFT_OUT, UNBALANCED

    page = (ROOT / "docs" / "models-and-tasks.md").read_text(encoding="utf-8")
    *_, tasks, vtab = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "tasks.toml").write_text('name = "x"\nmodels = ["m"]\n' + tasks)
    leaves, cells, beans = load(tmp_path / "tasks.toml").task
    assert (leaves.path, leaves.image, leaves.split) == (str(tmp_path / "leaves.csv"), "image", "part")
    assert cells.path == str(tmp_path / "bloodmnist.npz")
    assert (beans.dataset, beans.label) == ("AI-Lab-Makerere/beans", "labels")
    (tmp_path / "vtab.toml").write_text(vtab)
    assert load(tmp_path / "vtab.toml").data == str(tmp_path / "prepared")
    says = (f"more than {LEFT_OUT:.0%}".replace("%", " %"), f"under {SMALL} pixels", f"above {LARGE // 10**6} million",
            f"1 : {UNBALANCED}", f"{MAPPED // 10**6} MB")  # fmt: skip
    for words in says:
        assert words in page


def test_the_commands_on_the_page_of_tasks_are_known():
    import typer

    from sweeps.cli import app

    page = (ROOT / "docs" / "models-and-tasks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    lines = [line.partition("#")[0].split()[1:] for line in block.splitlines()]
    assert len(lines) == 3
    for words in lines:
        group = typer.main.get_command(app).commands["tasks"]
        group.commands[words[1]].make_context("prepare", list(words[2:]))


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


def test_the_page_of_relatedness_says_what_the_program_says():
    from sweeps.report.relatedness import LEAST, NAMES, PLAIN, TUNED
    from sweeps.store import SCHEMAS

    page = (ROOT / "docs" / "relatedness.md").read_text(encoding="utf-8")
    for name in (*NAMES, LEAST, *TUNED.values(), *PLAIN):
        assert f"| `{name}` |" in page
    for form in ("total", "by_label", "projected", "logits"):
        assert f"| `{form}` |" in page
        assert form in SCHEMAS["bounds"].names


def test_the_page_of_the_study_is_what_the_shipped_truth_says():
    from benchmarks import study
    from sweeps.truth import FOLDER, load

    if not (FOLDER / "runs.parquet").is_file():
        pytest.skip("no truth is shipped yet (make truth)")
    truth, page = load(), (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    for _, lines in study.pages(truth):
        for line in lines:
            assert line in page
