"""A sweep file is read whole or refused with every fault, its place and a hint."""

from pathlib import Path

import pytest

from sweeps.config import load, parse
from sweeps.errors import ConfigError, did_you_mean
from sweeps.settings import EARLY, Pool
from taskrel.proxies import PROXIES

ROOT = Path(__file__).resolve().parents[2]
MINIMAL = {"name": "x", "models": ["m"], "tasks": ["t"]}


@pytest.mark.parametrize("path", sorted((ROOT / "ray_configs" / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_files_load(path):
    config = load(path)
    assert config.name == path.stem


def test_defaults_are_the_study():
    config = parse(MINIMAL)
    assert config.finetune.model_dump(include={"learning_rates", "steps", "batch", "repeats", "momentum"}) == {
        "learning_rates": (0.1, 0.01), "steps": 2500, "batch": 512, "repeats": 5, "momentum": 0.9}  # fmt: skip
    assert set(config.proxies) == {name for name, proxy in PROXIES.items() if "reference" not in proxy.needs}


def test_all_faults_at_once_with_places_and_hints():
    with pytest.raises(ConfigError) as caught:
        parse(
            MINIMAL | {"finetun": {}, "finetune": {"steps": 0, "bach": 3}, "search": {"low": 1.0, "high": 0.1}},
            "f.toml",
        )
    text = str(caught.value)
    assert "finetun must be a known key, got 'finetun'; did you mean 'finetune'?" in text
    assert "finetune.bach must be a known key, got 'bach'; did you mean 'batch'?" in text
    assert "finetune.steps" in text
    assert "low must be below high, got 1.0 and 0.1" in text
    assert all(line.startswith("f.toml: ") for line in text.splitlines())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "x", "tasks": ["t"]}, "models must name at least one model"),
        ({"name": "x", "models": ["m"]}, "tasks must name at least one task"),
        ({"models": ["m"], "tasks": ["t"]}, "name must be given"),
        (MINIMAL | {"finetune": None, "search": {}}, "search must have a [finetune] section"),
    ],
)
def test_refusals(data, says):
    with pytest.raises(ConfigError, match=says.replace("[", r"\[").replace("]", r"\]")):
        parse(data)


def test_unreadable_and_invalid_files(tmp_path):
    with pytest.raises(ConfigError, match="must be readable"):
        load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="must be valid TOML"):
        load(tmp_path / "bad.toml")


def test_paths_are_read_from_the_files_folder(tmp_path):
    (tmp_path / "s.toml").write_text('name = "s"\n[[model]]\nname = "a"\nsource = "local-dir:w"\n'
                                     '[[task]]\nname = "t"\npath = "data"\n')  # fmt: skip
    config = load(tmp_path / "s.toml")
    assert config.model[0].source == f"local-dir:{tmp_path / 'w'}"
    assert config.task[0].path == str(tmp_path / "data")


def test_overrides(tmp_path):
    (tmp_path / "s.toml").write_text('name = "s"\nmodels = ["m"]\ntasks = ["t"]\n')
    config = load(tmp_path / "s.toml", ["finetune.steps=7", 'name="other"', "models=['a', 'b']"])
    assert (config.finetune.steps, config.name, config.models) == (7, "other", ("a", "b"))
    with pytest.raises(ConfigError, match="key=value"):
        load(tmp_path / "s.toml", ["finetune.steps"])


def test_pools_are_predicates_over_facts():
    rows = [
        {"model": "big", "group": "expert", "family": "r", "parameters": 100, "dim": 64},
        {"model": "small", "group": "expert", "family": "m", "parameters": 10, "dim": 32},
        {"model": "unknown", "group": "user", "family": None, "parameters": None, "dim": None},
        {"model": "scratch", "group": "scratch", "family": "r", "parameters": 10, "dim": 32},
    ]
    assert Pool().members(rows) == ["big", "small", "unknown"]
    assert Pool(max_parameters=50).members(rows) == ["small"]
    assert Pool(groups=("expert",), families=("r",)).members(rows) == ["big"]
    assert Pool(models=("s*",)).members(rows) == ["small"]
    assert Pool(max_dim=64).members(rows) == ["big", "small"]
    assert Pool(where="parameters <= 50 and family = *").members(rows) == ["small"]
    assert Pool(where="dim >= 64", groups=("expert",)).members(rows) == ["big"]


def test_did_you_mean_lists_when_nothing_is_near():
    assert did_you_mean("zzz", ["alpha", "beta"]) == ", got 'zzz'; known: alpha, beta"


def test_patterns_stand_for_the_proxies_they_match():
    given = {"*": {}, "linear": {"steps": 30}, "mine": {"function": "a:b"}}
    found = parse({"name": "x", "models": ["m"], "tasks": ["t"], "proxies": given}).proxies
    assert set(found) == {*(name for name, proxy in PROXIES.items() if "reference" not in proxy.needs), EARLY, "mine"}
    assert found["linear"] == {"steps": 30}
    assert found["knn"] == {}
    three = parse({"name": "x", "models": ["m"], "tasks": ["t"], "proxies": {"ncti_*": {}}}).proxies
    assert set(three) == {"ncti_seli", "ncti_ncc", "ncti_vc"}
    with pytest.raises(
        ConfigError, match="proxies: proxies must match a known one, got 'logmi\\*'; did you mean 'logme'"
    ):
        parse({"name": "x", "models": ["m"], "tasks": ["t"], "proxies": {"logmi*": {}}})


def test_settings_of_a_name_win_over_those_of_a_pattern_in_any_order():
    for given in ({"knn*": {"k": 3}, "knn": {"k": 1}}, {"knn": {"k": 1}, "knn*": {"k": 3}}):
        found = parse({"name": "x", "models": ["m"], "tasks": ["t"], "proxies": given}).proxies
        assert found == {"knn": {"k": 1}, "knn_loo": {"k": 3}}
