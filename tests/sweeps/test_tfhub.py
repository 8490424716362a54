"""Modules of TF-Hub become models: from a folder or a server on this machine, once for all workers, or one line."""

import http.server
import io
import shutil
import tarfile
import threading
from collections import namedtuple

import numpy as np
import pytest
import torch

from sweeps.errors import ConfigError, ModelError
from sweeps.settings import ModelEntry
from sweeps.types import Model
from sweeps.zoo import networks, tfhub
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry
from tests.doubles.tensorbundle import write

TINY = "slim/mobilenet_v2_035"


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A SavedModel of a small network, in TensorFlow 2's layout, as a folder and as what the hub sends."""
    network = networks.Network("mobilenetv2_035", networks._slim_mobilenet_v2, {"pad_type": "same"}, epsilon=1e-3)
    networks.NETWORKS[TINY] = network
    rng = np.random.default_rng(0)
    own = {key: value for key, value in networks.empty(TINY).state_dict().items() if "num_batches" not in key}
    arrays = {}
    for key, called in network.names(list(own)).items():
        shape = tuple(own[key].shape)
        if len(shape) == 4:
            shape = tuple(shape[side] for side in ((2, 3, 0, 1) if "depthwise_w" in called else (2, 3, 1, 0)))
        arrays[f"MobilenetV2/{called}"] = np.abs(rng.standard_normal(shape) * 0.2 + 0.1).astype("float32")
    folder = tmp_path_factory.mktemp("module")
    write(folder / "variables" / "variables", arrays, graph=True)
    (folder / "saved_model.pb").write_bytes(b"a graph that nobody reads")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    yield folder, packed.getvalue()
    del networks.NETWORKS[TINY]


@pytest.fixture
def server(module, monkeypatch, tmp_path):
    """What answers for tfhub.dev; ``faults`` are answered first: a status, or how many bytes come."""
    bodies, asked, faults = {"test/tiny/1": module[1]}, [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.append((self.command, self.path))
            fault = faults.pop(0) if faults and self.command == "GET" else None
            body = bodies.get(self.path.removeprefix("/").removesuffix("?tf-hub-format=compressed"), b"")
            status = fault if fault in (404, 503) else 200 if body else 404
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if status == 200 else 0))
            self.end_headers()
            if status == 200 and self.command == "GET":
                self.wfile.write(body[: fault or None])

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setattr(tfhub, "ADDRESS", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.setattr(tfhub, "PAUSE", 0.01)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield namedtuple("Server", "bodies asked faults")(bodies, asked, faults)
    running.shutdown()
    running.server_close()


def entry(source: str, **more) -> ModelEntry:
    return ModelEntry(name="m", source=source, **({"args": {"network": TINY}} | more))


def test_a_folder_is_a_model(module, tmp_path):
    model = resolve_entry(entry(f"tf-hub:{module[0]}"))
    loaded = load(model)
    assert (loaded.head, loaded.input_size, loaded.mean.flatten().tolist()) == (None, 224, [0.5] * 3)
    images = torch.full((2, 64, 64, 3), 255, dtype=torch.uint8)
    features, probabilities = loaded.embed(loaded.normalise(images))
    assert features.shape == (2, 1280)
    assert features.std() > 0
    assert probabilities is None
    tuned = load(model, classes=3)
    assert tuned.logits(tuned.normalise(images)).tolist() == [[0.0] * 3] * 2
    assert torch.equal(tuned.module.conv_stem.weight, loaded.module.conv_stem.weight)
    assert not torch.equal(load(resolve_entry(entry(model.source, pretrained=False))).module.conv_stem.weight,
                           loaded.module.conv_stem.weight)  # fmt: skip
    shutil.copytree(module[0], tmp_path / "copy")
    copied = resolve_entry(entry(f"tf-hub:{tmp_path / 'copy'}"))
    assert copied.content == model.content  # where it lies is nothing
    with open(tmp_path / "copy" / "variables" / "variables.data-00000-of-00001", "r+b") as file:
        file.write(b"\1")
    damaged = resolve_entry(entry(f"tf-hub:{tmp_path / 'copy'}"))
    assert damaged.revision != model.revision
    with pytest.raises(ModelError, match="must match its checksum"):
        load(damaged)


def test_what_is_no_module_is_one_line(module, tmp_path):
    with pytest.raises(ModelError, match=r"must hold variables/variables\.index"):
        resolve_entry(entry(f"tf-hub:{tmp_path}"))
    with pytest.raises(ModelError, match="args must be one network"):
        load(resolve_entry(entry(f"tf-hub:{module[0]}", args={"network": "slim/nothing"})))
    with pytest.raises(ModelError, match="must hold a variable Conv2d_0/weights"):
        load(resolve_entry(entry(f"tf-hub:{module[0]}", args={"network": "slim/mobilenet_v1_100"})))
    with pytest.raises(ConfigError, match="source must be"):
        resolve_entry(entry("tf-hub:"))


def test_a_handle_is_fetched_once_for_all_workers(server):
    model = resolve_entry(entry("tf-hub:test/tiny/1"))
    assert (model.revision, server.asked) == ("test/tiny/1", [])  # a plan asks nobody
    assert tfhub.size("test/tiny/1") > 1000
    workers = [threading.Thread(target=tfhub.fetch, args=("m", "test/tiny/1")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [method for method, _ in server.asked] == ["HEAD", "GET"]
    assert load(model).parameters == sum(one.numel() for one in networks.empty(TINY).parameters())
    assert len(server.asked) == 2


@pytest.mark.parametrize("fault", [503, 5000])
def test_a_busy_server_and_a_cut_connection_are_tried_again(server, fault):
    server.faults.extend([fault, fault])
    assert tfhub.prefix(tfhub.fetch("m", "test/tiny/1")) is not None
    assert len(server.asked) == 3


def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(server, monkeypatch, tmp_path):
    with pytest.raises(ModelError, match="got HTTPError: HTTP Error 404"):
        tfhub.fetch("m", "test/none/1")
    assert len(server.asked) == 1
    server.faults.extend([5000] * 9)
    with pytest.raises(ModelError, match="download it by hand"):
        tfhub.fetch("m", "test/tiny/1")
    free = namedtuple("Usage", "total used free")(0, 0, 5)
    server.faults.clear()
    with monkeypatch.context() as changed:
        changed.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(ModelError, match="make room or set TFHUB_CACHE_DIR"):
            tfhub.fetch("m", "test/tiny/1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="while offline"):
        tfhub.fetch("m", "test/tiny/1")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_an_archive_cannot_write_elsewhere(server, tmp_path):
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"), io.BytesIO())
    server.bodies["test/evil/1"] = evil.getvalue()
    with pytest.raises(ModelError, match="OutsideDestinationError"):
        tfhub.fetch("m", "test/evil/1")
    assert not list(tmp_path.rglob("evil"))


def test_torchvision_is_a_source(monkeypatch, tmp_path):
    """The weights are made here and put where torch keeps downloads."""
    import torchvision

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    model = Model(name="m", source="torchvision:squeezenet1_1.IMAGENET1K_V1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="must be there while offline"):
        load(model)
    (tmp_path / "checkpoints").mkdir()
    made = torchvision.models.shufflenet_v2_x0_5()
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    torch.save(made.state_dict(), tmp_path / "checkpoints" / weights.url.rpartition("/")[2])
    model = resolve_entry(ModelEntry(name="m", source="torchvision:shufflenet_v2_x0_5.IMAGENET1K_V1"))
    assert model.revision == "shufflenet_v2_x0_5.IMAGENET1K_V1"
    loaded = load(model)
    assert (loaded.geometry.size, loaded.geometry.crop_pct) == (224, 224 / 256)
    assert torch.equal(loaded.module.state_dict()["conv1.0.weight"], made.state_dict()["conv1.0.weight"])
    assert load(model, classes=4).head.out_features == 4
    with pytest.raises(ModelError, match="did you mean 'googlenet'"):
        load(Model(name="m", source="torchvision:googlenets.IMAGENET1K_V1"))
    with pytest.raises(ModelError, match="did you mean 'IMAGENET1K_V1'"):
        load(Model(name="m", source="torchvision:googlenet.IMAGENET1K_V9"))
