"""What `sweeps zoo check` says of a model is so: local, cached, bytes to download, or why it cannot be had."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sweeps.cli import app
from sweeps.types import Model
from sweeps.zoo.check import check
from sweeps.zoo.load import load
from sweeps.zoo.registry import embedded
from tests.conftest import DOUBLES
from tests.doubles.hub import Hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model in timm's form."""
    import timm

    path = tmp_path_factory.mktemp("net")
    module = timm.create_model("test_resnet.r160_in1k", num_classes=3)
    timm.models.save_for_hf(module, path, model_config={"num_classes": 3}, safe_serialization=True)
    return path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with Hub() as running:
        running.point(monkeypatch, tmp_path / "home")
        yield running


def standing(source: str, **more):
    (found,) = check([Model(name="m", source=source, **more)])
    return found


def test_what_is_on_this_disk_is_loaded(folder, tmp_path):
    mini = embedded()["mini_mobilenet_v1.mininet"]
    (found,) = check([mini])
    assert (found.state, found.bytes, found.row["licence"]) == ("local", None, mini.licence)
    assert standing(f"local-dir:{folder}").state == "local"
    assert standing("factory:tiny:build", path=str(DOUBLES)).state == "local"
    broken = standing("factory:tiny:broken", path=str(DOUBLES))
    assert broken.state == "cannot"
    assert "\n" not in broken.fault
    assert standing(f"local-dir:{tmp_path}").state == "cannot"


def test_what_the_hub_has_is_sized_then_cached(hub, folder):
    commit = hub.add("me/net", folder)
    found = standing("hf-hub:me/net")
    size = sum((folder / name).stat().st_size for name in ("config.json", "model.safetensors"))
    assert (found.state, found.bytes, found.model.revision) == ("download", size, commit)
    assert not [asked for asked in hub.asked("GET") if asked.path.endswith(".safetensors")]  # nothing is downloaded
    load(found.model)
    hub.forget()
    assert standing("hf-hub:me/net").state == "cached"
    assert standing("hf-hub:me/net", revision=commit).row["revision"] == commit
    assert not hub.asked()


def test_what_cannot_be_had_says_why(hub, folder, monkeypatch):
    hub.add("me/gated", folder, gated=True)
    assert "accept its terms" in standing("hf-hub:me/gated").fault
    assert "must be a folder or a model of the hub" in standing("hf-hub:me/none").fault
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "while offline" in standing("hf-hub:me/other").fault


def test_a_hub_that_gives_no_answer_is_asked_once(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    found = list(check([Model(name=str(number), source=f"hf-hub:me/{number}") for number in range(20)]))
    assert len({each.fault for each in found}) == 1
    assert found[0].fault.endswith("no answer from the hub")


def test_several_workers_of_a_machine_download_once(hub, folder, tmp_path):
    """The client's own lock: who comes second waits and finds the file."""
    commit = hub.add("me/net", folder)
    code = f"from sweeps.hub import Repository; Repository('x', 'me/net').fetch('{commit}', ('*',))"
    env = hub.environment(tmp_path / "shared")
    workers = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert len([asked for asked in hub.asked("GET", "cdn") if asked.path and asked.status in (200, 206)]) == 1


def test_the_command(folder, tmp_path):
    (tmp_path / "z.toml").write_text(
        f'[[model]]\nname = "fine"\nsource = "local-dir:{folder}"\nlicence = "mit"\n'
        'substitute = "the [real] one is lost"\n'
        '[[model]]\nname = "lost"\nsource = "torchvision:googlenets.IMAGENET1K_V1"\n'
    )
    runner = CliRunner()
    done = runner.invoke(app, ["zoo", "check", "--zoo", str(tmp_path / "z.toml"), "--json"])
    assert done.exit_code == 1
    fine, lost = json.loads(done.stdout)
    assert (fine["state"], fine["licence"], fine["substitute"]) == ("local", "mit", "the [real] one is lost")
    assert (lost["state"], lost["bytes"]) == ("cannot", None)
    assert "did you mean 'googlenet'" in lost["fault"]
    shown = runner.invoke(app, ["zoo", "check", "--zoo", str(tmp_path / "z.toml")])
    assert "* fine: the [real] one is lost" in shown.stdout
    assert "2 models: 1 local, 0 cached, 0 to download (0.0 MB), 1 cannot be loaded" in shown.stdout
    assert "cannot be loaded: lost: torchvision must know" in shown.stdout
    (tmp_path / "z.toml").write_text(f'[[model]]\nname = "fine"\nsource = "local-dir:{folder}"\n')
    assert runner.invoke(app, ["zoo", "check", "--zoo", str(tmp_path / "z.toml")]).exit_code == 0
    assert runner.invoke(app, ["zoo", "check", "--zoo", "nothing"]).exit_code == 2


def test_zoos_are_listed_with_what_stands_for_what():
    done = CliRunner().invoke(app, ["zoo", "--zoo", "needle46"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "Home & garden*" in done.stdout
    assert "* Full JFT: trained on JFT and not public" in done.stdout
    assert "bsd-3-clause" in done.stdout
