"""docs/published.md says what its own commands say today: every table is computed again and compared as printed.

Skipped where ../shared/published is absent.
"""

import csv
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from sweeps.replay import regret_of
from tests.conftest import SHARED

pytestmark = pytest.mark.published
PUBLISHED = SHARED / "published"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "published.md"
MANY = {"fact": "fact", "pool": "pools"}
RECYCLED = ("is_base", "static_rank", "oracle_elsewhere", "mnli_lp", "random")


@cache
def replayed(command, folder):
    """What a command of the page computes; its tables are published or given on the page itself."""
    words = shlex.split(command.removeprefix("$ sweeps regret "))
    options = {"fact": [], "pools": []}
    for option, value in zip(words[1::2], words[2::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        if name in MANY:
            options[MANY[name]].append(value)
        else:
            options[name] = Path(_file(value, folder)) if name == "facts" else value
    return regret_of(_file(words[0], folder), **options)[1]


def _file(name, folder):
    if (PUBLISHED / name).exists():
        return PUBLISHED / name
    (block,) = re.findall(rf"```csv {re.escape(name)}\n(.*?)```", page(), re.DOTALL)
    path = Path(folder) / name
    path.write_text(block, encoding="utf-8")
    return path


def page():
    return PAGE.read_text(encoding="utf-8")


def row(found, pool, strategy, budget):
    """The row of `strategies`, or None where the strategy needs a larger budget."""
    rows = [row for row in found.tables["strategies"] if (row["pool"], row["strategy"], row["budget"])
            == (pool, strategy, budget)]  # fmt: skip
    return rows[0] if rows else None


def regret(one):
    if one is None:
        return ""
    mean, low, high = (round(100 * one[name], 1) + 0.0 for name in ("mean_relative_regret", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def chance(one):
    return "" if one is None or one["p_holm"] is None else f"{one['p_holm']:.3f}"


def line(found, pool, strategy):
    once, twice = (row(found, pool, strategy, budget) for budget in (1, 2))
    return f"| `{strategy}` | {regret(once)} | {chance(once)} | {regret(twice)} | {chance(twice)} |"


def by_base(command, base, folder):
    found = replayed(command.replace("BASE", base), folder)
    each = [regret(row(found, "all", strategy, 1)) for strategy in RECYCLED]
    return f"| {base} | {row(found, 'all', 'random', 1)['models']} | {' | '.join(each)} |"


def sections():
    """(title, command, the rest) of every section with a command."""
    parts = re.split(r"^## ", page(), flags=re.MULTILINE)[1:]
    return [(part.splitlines()[0], re.search(r"^\$ sweeps regret .*$", part, re.MULTILINE)[0], part)
            for part in parts if "$ sweeps regret " in part]  # fmt: skip


def alike(found, shown):
    """Same words, and numbers that differ by one unit of the last digit at most: another BLAS may round otherwise."""
    number = r"-?\d+\.\d+"
    assert re.sub(number, "#", found) == re.sub(number, "#", shown)
    for a, b in zip(re.findall(number, found), re.findall(number, shown), strict=True):
        assert abs(float(a) - float(b)) <= 1.01 * 10.0 ** -len(b.split(".")[1]), (found, shown)


def test_every_table_is_on_the_page():
    titles = [title for title, _, _ in sections()]
    assert titles == ["VTAB modules", "TLlib", "MedMNIST architectures", "MedMNIST sources", "Quick-Tune",
                      "Model recycling"]  # fmt: skip


@pytest.mark.parametrize("title", ["VTAB modules", "TLlib", "MedMNIST architectures", "MedMNIST sources", "Quick-Tune"])
def test_tables_of_the_page(title, tmp_path):
    ((_, command, text),) = [section for section in sections() if section[0] == title]
    found = replayed(command, str(tmp_path))
    assert command.endswith("--against static_rank")
    pools = re.split(r"^(?=Pool `)", text, flags=re.MULTILINE)[1:]
    assert pools
    for part in pools:
        pool, models, tasks, winners = re.match(
            r"Pool `(\w+)`: (\d+) models on (\d+) tasks, (\d+) of them best somewhere", part
        ).groups()
        one = row(found, pool, "random", 1)
        best = {each["oracle_model"] for each in found.tables["tasks"] if each["pool"] == pool}
        assert (one["models"], one["tasks"], len(best)) == (int(models), int(tasks), int(winners))
        shown = re.findall(r"^\| `([\w]+)` \|.*$", part, re.MULTILINE)
        assert {"static_rank", "oracle_elsewhere", "random"} <= set(shown)
        for printed in re.findall(r"^\| `[\w]+` \|.*$", part, re.MULTILINE):
            alike(line(found, pool, re.search(r"`(\w+)`", printed)[1]), printed)


def test_model_recycling_of_the_page(tmp_path):
    ((_, command, text),) = [section for section in sections() if section[0] == "Model recycling"]
    rows = re.findall(r"^\| [\w/.-]+ \| \d+ \|.*$", text, re.MULTILINE)
    assert len(rows) == 6
    for printed in rows:
        alike(by_base(command, printed.split("|")[1].strip(), str(tmp_path)), printed)


def test_facts_of_the_vtab_modules_are_those_of_the_study():
    with open(PUBLISHED / "needle_zoo46.csv", newline="", encoding="utf-8") as file:
        study = {one["model"]: (one["params"], one["dim"]) for one in csv.DictReader(file) if one["group"] == "vtab"}
    (block,) = re.findall(r"```csv vtab_models.csv\n(.*?)```", page(), re.DOTALL)
    here = {one["model"]: (one["parameters"], one["dim"]) for one in csv.DictReader(block.splitlines())}
    names = {name: "relative-patch-location" if name == "Rel.Pat.Loc" else name.lower().rstrip("%") for name in here}
    assert {names[name]: facts for name, facts in here.items()} == study
