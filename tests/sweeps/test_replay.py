"""`sweeps regret` on tables of every shape: what goes in, what is refused, what comes out."""

import csv
import json
import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sweeps.cli import app
from sweeps.errors import ConfigError, DataError
from sweeps.predicates import holds
from sweeps.replay import regret_of
from tests.conftest import ROOT

runner = CliRunner(env={"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"})
DOCUMENT = (ROOT / "docs" / "regret.md").read_text(encoding="utf-8")

# A made-up study: accuracies by task, models a to d.
STUDY = {"birds": [0.5, 0.7, 0.6, 0.4], "scans": [0.9, 0.8, 0.6, 0.5], "roads": [0.3, 0.2, 0.4, 0.6]}
SCORES = {"birds": [1, 3, 2, 0], "scans": [2, 2, 1, 0], "roads": [0, 1, 2, 2]}


def long_rows(percent=False):
    return [{"task": task, "model": model, "accuracy": round(100 * value) if percent else value, "probe": score}
            for task in STUDY
            for model, value, score in zip("abcd", STUDY[task], SCORES[task], strict=True)]  # fmt: skip


def write(path, rows, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def call(*words):
    return runner.invoke(app, ["regret", *map(str, words)])


def means(found, budget=1, pool="all"):
    return {row["strategy"]: row["mean_relative_regret"] for row in found.tables["strategies"]
            if (row["budget"], row["pool"]) == (budget, pool)}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    return write(tmp_path / "study.csv", long_rows())


@pytest.fixture
def facts(tmp_path):
    rows = [{"model": m, "params": p, "upstream_accuracy": u, "group": g, "pool_small": s}
            for m, p, u, g, s in [("a", 10, 0.8, "cnn", 1), ("b", 20, 0.9, "vit", 0), ("c", 5, 0.7, "cnn", 1),
                                  ("d", 1, "", "cnn", 1)]]  # fmt: skip
    return write(tmp_path / "facts.csv", rows)


def test_regrets_by_hand(study):
    _, found = regret_of(study, budgets="1,2,4")
    # Picks b (of 3), a (a and b tie, by name), c (c and d tie): 0, 0 and (.6 - .4) / .6.
    assert means(found)["probe"] == pytest.approx(1 / 9)
    # Mean accuracies: a .567, b .567, c .533, d .5: a, by name.
    assert means(found)["oracle"] == pytest.approx((0.4 + 0 + 0.3 / 0.7) / 3)
    assert means(found, 4)["probe"] == means(found, 4)["random"] == 0
    each = {row["task"]: row for row in found.tables["regret"] if (row["strategy"], row["budget"]) == ("probe", 1)}
    assert each["roads"]["picks"] == ["c"]
    assert (each["roads"]["tied"], each["birds"]["tied"]) == (2, 1)
    assert (each["roads"]["oracle_model"], each["roads"]["oracle"]) == ("d", 0.6)
    assert each["roads"]["low"] is None
    zero = {row["task"]: row for row in found.tables["budgets"] if row["strategy"] == "probe"}["roads"]
    assert (zero["optimistic"], zero["expected"], zero["pessimistic"]) == (1, 1.5, 2)
    solved = [row["expected"] for row in found.tables["solved"] if row["strategy"] == "probe"]
    assert solved == pytest.approx([2 / 3, 1, 1, 1])


def test_every_layout_is_the_same_table(tmp_path, study):
    expected = means(regret_of(study)[1])
    rows = long_rows()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "study.parquet")
    write(tmp_path / "study.tsv", rows, "\t")
    write(tmp_path / "semicolons.csv", rows, ";")
    write(tmp_path / "percent.csv", long_rows(percent=True))
    (tmp_path / "marked.csv").write_text("\ufeff" + study.read_text())
    for name in ("study.parquet", "study.tsv", "semicolons.csv", "percent.csv", "marked.csv"):
        assert means(regret_of(tmp_path / name)[1]) == pytest.approx(expected), name
    other = [{"dataset": r["task"], "net": r["model"], "auc": r["accuracy"], "probe": r["probe"]} for r in rows]
    found = regret_of(write(tmp_path / "other.csv", other), task="dataset", model="net", accuracy="auc")
    assert means(found[1]) == pytest.approx(expected)


@pytest.mark.parametrize("wide", ["tasks", "models"])
def test_wide_tables(tmp_path, study, wide):
    if wide == "tasks":
        rows = [{"model": m, **{t: STUDY[t][i] for t in STUDY}, "what": "text"} for i, m in enumerate("abcd")]
    else:
        rows = [{"task": t, **dict(zip("abcd", STUDY[t], strict=True)), "what": "text"} for t in STUDY]
    _, found = regret_of(write(tmp_path / "wide.csv", rows), wide=wide)
    expected = means(regret_of(study, scores="")[1])
    assert means(found) == pytest.approx(expected)
    assert "columns without numbers are left out: what" in found.notes


def test_percent_is_said(tmp_path):
    result = call(write(tmp_path / "percent.csv", long_rows(percent=True)))
    assert result.exit_code == 0
    assert "accuracies are percentages (the greatest is 90) and were divided by 100" in result.output


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nan", "got NaN in row 6 (task 'scans', model 'b')"),
        ("-0.1", "got -0.1 in row 6 (task 'scans', model 'b')"),
        ("170", "got 170 in row 6 (task 'scans', model 'b')"),
        ("o.8", "column 'accuracy' must hold numbers, got 'o.8' in row 6"),
    ],
)
def test_bad_accuracies_are_refused_with_the_row_named(tmp_path, value, message):
    rows = long_rows()
    rows[5]["accuracy"] = value
    result = call(write(tmp_path / "bad.csv", rows))
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert len(result.output.strip().splitlines()) == 1


def test_nan_in_parquet_and_in_wide_tables_has_its_row_too(tmp_path):
    rows = long_rows()
    rows[5]["accuracy"] = float("nan")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"got NaN in row 6 \(task 'scans', model 'b'\)"):
        regret_of(tmp_path / "bad.parquet")
    wide = [{"model": m, **{t: STUDY[t][i] for t in STUDY}} for i, m in enumerate("abcd")]
    wide[2]["roads"] = "NaN"
    with pytest.raises(DataError, match=r"got NaN in row 3 \(task 'roads', model 'c'\)"):
        regret_of(write(tmp_path / "wide.csv", wide), wide="tasks")


def test_a_model_missing_on_a_task_is_in_neither_oracle_nor_picks(tmp_path):
    rows = long_rows()
    for row in rows:
        if (row["task"], row["model"]) == ("birds", "b"):
            row["accuracy"] = ""
    _, found = regret_of(write(tmp_path / "gap.csv", rows))
    row = next(r for r in found.tables["regret"] if (r["task"], r["strategy"], r["budget"]) == ("birds", "probe", 1))
    assert (row["oracle_model"], row["picks"], row["models"], row["dropped"]) == ("c", ["c"], 3, 1)
    assert any(note.startswith("1 of 12 cells have no accuracy") for note in found.notes)
    assert {r["pool"] for r in found.tables["strategies"]} == {"all", "complete"}
    budgets = {r["budget"] for r in found.tables["regret"] if r["pool"] == "all" and r["task"] == "birds"}
    assert budgets == {1, 2, 3}


def test_duplicates_are_refused_or_combined_as_told(tmp_path):
    rows = [*long_rows(), {"task": "birds", "model": "a", "accuracy": 0.7, "probe": 1}]
    path = write(tmp_path / "twice.csv", rows)
    result = call(path)
    assert result.exit_code == 2
    assert "got row 1 (task 'birds', model 'a') again as row 13" in " ".join(result.output.split())
    for how, value in (("mean", 0.6), ("median", 0.6), ("first", 0.5), ("max", 0.7)):
        table, found = regret_of(path, duplicates=how)
        assert table.means[0, 0] == pytest.approx(value)
        assert any(f"their {how} counts" in note for note in found.notes)
    assert regret_of(path, duplicates="repeats")[0].accuracy[0, 0].tolist() == [0.5, 0.7]


def test_repeats_are_found_by_their_column(tmp_path):
    rows = [{**row, "accuracy": row["accuracy"] + shift, "seed": seed}
            for row in long_rows() for seed, shift in enumerate((-0.05, 0.0, 0.05))]  # fmt: skip
    table, found = regret_of(write(tmp_path / "repeats.csv", rows), bootstrap=200)
    assert table.accuracy.shape == (3, 4, 3)
    assert "column 'seed' numbers the repeats" in found.notes
    row = next(r for r in found.tables["regret"] if (r["task"], r["strategy"], r["budget"]) == ("roads", "probe", 1))
    assert row["low"] < row["relative_regret"] < row["high"]
    mean = next(r for r in found.tables["strategies"] if (r["strategy"], r["budget"]) == ("probe", 1))
    assert mean["high"] - mean["low"] > mean["runs_high"] - mean["runs_low"] > 0


def test_one_model_and_budgets_beyond_the_pool(tmp_path):
    rows = [row for row in long_rows() if row["model"] == "a"]
    result = call(write(tmp_path / "one.csv", rows), "--budgets", "1,3", "--json")
    content = json.loads(result.stdout)
    assert {row["mean_relative_regret"] for row in content["strategies"]} == {0.0}
    assert "budget 3 is left out in pool all: it has only 1 model" in content["notes"]


def test_a_perfect_oracle(tmp_path):
    rows = [{**row, "accuracy": 1.0 if row["model"] == "a" else 0.5} for row in long_rows()]
    _, found = regret_of(write(tmp_path / "perfect.csv", rows), budgets="1")
    row = next(r for r in found.tables["regret"] if (r["task"], r["strategy"]) == ("roads", "probe"))
    assert (row["relative_regret"], row["regret"], row["clipped"]) == (1.0, 0.5, True)
    assert any("needed clipping in 3 tasks" in note for note in found.notes)


def test_pools_and_facts(study, facts):
    _, found = regret_of(study, facts=facts, fact=["parameters=params"],
                         pools=["few: parameters <= 10 and model != d", "group = c*"])  # fmt: skip
    sizes = {row["pool"]: row["models"] for row in found.tables["strategies"]}
    assert sizes == {"all": 4, "small": 3, "few": 2, "group = c*": 3}
    assert {"agnostic", "upstream_accuracy", "parameters", "hybrid_probe", "static_rank"} <= means(found, 2).keys()
    assert "hybrid_probe" not in means(found, 1)
    picks = {row["pool"]: row["picks"] for row in found.tables["regret"]
             if (row["task"], row["strategy"], row["budget"]) == ("roads", "hybrid_probe", 2)}  # fmt: skip
    assert picks == {"all": ["b", "c"], "small": ["a", "c"], "few": ["a", "c"], "group = c*": ["a", "c"]}


def test_all_stands_for_what_is_compared_without_names(study, facts):
    _, usual = regret_of(study, facts=facts, budgets="1")
    _, more = regret_of(study, facts=facts, budgets="1", strategies="learned,all,params")
    assert set(means(more)) == {*means(usual), "learned", "params"}
    assert {name: means(more)[name] for name in means(usual)} == means(usual)


def test_strategies_by_name_with_baselines_and_a_comparison(study, facts):
    _, found = regret_of(study, facts=facts, strategies="probe,params,learned,task2vec,probe+upstream_accuracy",
                         against="probe", budgets="1")  # fmt: skip
    assert {"probe", "params", "learned", "upstream_accuracy", "static_rank", "oracle_elsewhere", "oracle",
            "random"} <= means(found).keys()  # fmt: skip
    rows = {row["strategy"]: row for row in found.tables["strategies"] if row["pool"] == "all"}
    assert rows["params"]["versus"] == "probe"
    assert rows["params"]["difference"] == pytest.approx(means(found)["params"] - means(found)["probe"])
    assert rows["params"]["p_value"] == 0.5  # two tasks differ, both the same way: 2 / 2^2
    assert rows["probe"]["versus"] is None
    assert any("task2vec" in note and "distances" in note for note in found.notes)


def test_a_score_that_is_missing_on_a_task(tmp_path):
    rows = [{**row, "probe": "" if row["task"] == "roads" else row["probe"]} for row in long_rows()]
    _, found = regret_of(write(tmp_path / "silent.csv", rows))
    row = next(r for r in found.tables["strategies"] if (r["strategy"], r["budget"]) == ("probe", 1))
    assert (row["tasks"], row["mean_relative_regret"]) == (2, 0.0)
    assert "no model of pool all has a score on roads: nothing there of probe" in found.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "modle"}, "must have a column, got 'modle'; did you mean 'model'"),
        ({"scores": "prob"}, "must have a column, got 'prob'; did you mean 'probe'"),
        ({"where": "task = forest"}, "the condition must hold for some row of .*, got none: task = forest"),
        ({"where": "task ~ x"}, "a condition must read 'column <= value'"),
        ({"strategies": "prob"}, "a strategy must be known, got 'prob'; did you mean 'probe'"),
        ({"budgets": "one"}, "budgets must be whole numbers, comma-separated, got 'one'"),
        ({"budgets": "0,1"}, r"budgets must be at least 1, got \[0, 1\]"),
        ({"fact": ["parameters"]}, "a fact must read name=column, got 'parameters'"),
        ({"pools": ["small: size < 3"]}, "a condition must name a column, got 'size'"),
        ({"against": "prob"}, "a strategy must be known"),
    ],
)
def test_options_that_are_refused(study, options, message):
    with pytest.raises((DataError, ConfigError), match=message):
        regret_of(study, **options)


def test_files_that_are_refused(tmp_path, study, facts):
    with pytest.raises(DataError, match=r"nowhere.csv must be a readable CSV, TSV or Parquet file"):
        regret_of(tmp_path / "nowhere.csv")
    (tmp_path / "ragged.csv").write_text("task,model,accuracy\na,b\n")
    with pytest.raises(DataError, match="must be a readable CSV"):
        regret_of(tmp_path / "ragged.csv")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match="must be a readable CSV"):
        regret_of(tmp_path / "text.parquet")
    twice = write(tmp_path / "twice.csv", [{"model": "a", "dim": 1}, {"model": "a", "dim": 2}])
    with pytest.raises(DataError, match="must have one row per model, got 'a' twice"):
        regret_of(study, facts=twice)
    strange = write(tmp_path / "strange.csv", [{"model": "z", "dim": 1}])
    with pytest.raises(DataError, match="must know the models of the table"):
        regret_of(study, facts=strange)
    clash = write(tmp_path / "clash.csv", [{**row, "random": 1 + n} for n, row in enumerate(long_rows())])
    with pytest.raises(ConfigError, match="a score must not have the name of a strategy, got 'random'"):
        regret_of(clash)


def test_conditions():
    table = pa.table({"n": [1, 2, None], "name": ["vit_b", "vit.b", None], "ok": [True, False, None]})

    def which(text):
        return pc.fill_null(holds(table, text), False).to_pylist()

    assert which("n <= 1.5") == [True, False, False]
    assert which("n != 1") == [False, True, False]
    assert which("name = vit_*") == [True, False, False]
    assert which("name = 'vit?b' and n > 1") == [False, True, False]
    assert which("name != vit.b") == [True, False, False]
    assert which("ok = true") == [True, False, False]
    with pytest.raises(DataError, match="a condition on text must use = or !="):
        which("name > a")
    with pytest.raises(DataError, match="a condition on 'n' must compare with a number, got 'many'"):
        which("n > many")


def test_written_tables_hold_what_json_says(study, tmp_path):
    result = call(study, "--out", tmp_path / "out", "--json")
    content = json.loads(result.stdout)
    for name in ("tasks", "strategies", "regret", "proxies", "budgets", "solved", "correlations"):
        assert pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist() == content[name], name
        with open(tmp_path / "out" / f"{name}.csv", newline="") as file:
            assert len(list(csv.reader(file))) == 1 + len(content[name])
    schema = pq.read_schema(tmp_path / "out" / "regret.parquet")
    assert (schema.field("low").type, schema.field("picks").type) == (pa.float64(), pa.list_(pa.string()))
    assert (tmp_path / "out" / "notes.txt").read_text().splitlines() == content["notes"]
    assert content["table"] == {"tasks": 3, "models": 4, "repeats": 1, "scores": ["probe"]}


def test_the_same_seed_gives_the_same_numbers(study):
    assert regret_of(study, seed=3)[1].tables == regret_of(study, seed=3)[1].tables


def test_help_has_an_example():
    result = call("--help")
    assert result.exit_code == 0
    assert "sweeps regret" in result.output
    assert "Example" in result.output


def test_the_example_of_the_document(tmp_path, monkeypatch):
    for name, content in re.findall(r"```csv (\S+)\n(.*?)```", DOCUMENT, re.DOTALL):
        (tmp_path / name).write_text(content)
    command, shown = re.search(r"```console\n\$ sweeps regret (.*?)\n(.*?)```", DOCUMENT, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    result = call(*[part.strip('"') for part in re.findall(r'"[^"]*"|\S+', command)])
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.output.strip().splitlines()] == shown.strip().splitlines()
    assert (tmp_path / "out" / "strategies.csv").exists()
