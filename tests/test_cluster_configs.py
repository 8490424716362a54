"""Every cluster file against the schema of its reader, and all of them against each other: `make validate-configs`."""

import ast
import copy
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.doubles.kuberay import SCHEMAS

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "ray_configs" / "cluster"
RAY_UP = ("aws", "gcp", "onprem")
KUBERAY = ("raycluster", "rayjob")

# What of a cloud's own node description we use: Ray passes it on unread, so a typo in it would cost money.
NODE_KEYS = {
    "aws": {"InstanceType", "IamInstanceProfile", "IamInstanceProfile.Name", "InstanceMarketOptions", "ImageId",
            "InstanceMarketOptions.MarketType", "BlockDeviceMappings", "BlockDeviceMappings.DeviceName",
            "BlockDeviceMappings.Ebs", "BlockDeviceMappings.Ebs.VolumeSize", "BlockDeviceMappings.Ebs.VolumeType"},
    "gcp": {"machineType", "disks", "disks.boot", "disks.autoDelete", "disks.type", "disks.initializeParams",
            "disks.initializeParams.diskSizeGb", "disks.initializeParams.sourceImage", "guestAccelerators",
            "guestAccelerators.acceleratorType", "guestAccelerators.acceleratorCount", "metadata", "metadata.items",
            "metadata.items.key", "metadata.items.value", "scheduling", "scheduling.onHostMaintenance",
            "scheduling.provisioningModel", "serviceAccounts", "serviceAccounts.email", "serviceAccounts.scopes"},
}  # fmt: skip


def read(name):
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def keys(node, path=""):
    """Dotted names of every key below a node, lists passed through."""
    if isinstance(node, list):
        return {key for item in node for key in keys(item, path)}
    if not isinstance(node, dict):
        return set()
    here = {f"{path}{key}" for key in node}
    return here.union(*(keys(value, f"{path}{key}.") for key, value in node.items()))


def check_ray(config):
    """Ray's own check of a `ray up` file, and ours of what Ray does not look at."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))
    known = NODE_KEYS.get(config["provider"]["type"], set())
    for kind in config.get("available_node_types", {}).values():
        unknown = keys(kind["node_config"]) - known
        if unknown:
            raise ValueError(f"node_config must use known keys, got {sorted(unknown)}")


def check_kuberay(manifest):
    jsonschema.Draft7Validator(SCHEMAS[manifest["kind"]]).validate(manifest)


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_reads_its_files(name):
    check_ray(read(f"{name}.yaml"))


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_reads_its_files(name):
    check_kuberay(read(f"kuberay/{name}.yaml"))


@pytest.mark.parametrize(
    ("where", "key"),
    [((), "idle_timeout_minute"), ((), "worker_start_commands"), (("available_node_types", "gpu_spot"), "max_worker"),
     (("available_node_types", "gpu_spot", "node_config"), "InstanceTypo"),
     (("available_node_types", "gpu_spot", "node_config", "InstanceMarketOptions"), "Market"), (("docker",), "images")],
)  # fmt: skip
def test_a_typo_in_a_ray_file_is_found(where, key):
    config = node = read("aws.yaml")
    for step in where:
        node = node[step]
    node[key] = 1
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        check_ray(config)


@pytest.mark.parametrize(
    ("where", "key"),
    [((), "shutdownAfterJobFinish"), (("rayClusterSpec",), "enableInTreeAutoscale"),
     (("rayClusterSpec", "workerGroupSpecs", 0), "maxReplica"),
     (("rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "resources"), "limit"),
     (("rayClusterSpec", "authOptions"), "modus")],
)  # fmt: skip
def test_a_typo_in_a_manifest_is_found(where, key):
    manifest = read("kuberay/rayjob.yaml")
    node = manifest["spec"]
    for step in where:
        node = node[step]
    node[key] = "1"
    with pytest.raises(jsonschema.ValidationError, match=key):
        check_kuberay(manifest)


def test_a_job_brings_the_cluster_that_stays():
    assert read("kuberay/rayjob.yaml")["spec"]["rayClusterSpec"] == read("kuberay/raycluster.yaml")["spec"]


def test_the_job_on_kubernetes_has_the_runtime_environment_of_all():
    brought = yaml.safe_load(read("kuberay/rayjob.yaml")["spec"]["runtimeEnvYAML"])
    assert brought["env_vars"] == read("runtime_env.yaml")["env_vars"]


def test_versions_image_and_entry_point_agree_everywhere():
    lock = (ROOT / "requirements.lock").read_text()
    (ray,) = re.findall(r"^ray==(\S+)", lock, re.MULTILINE)
    docker = (CLUSTER / "Dockerfile").read_text()
    (python,) = re.findall(r"^FROM python:(\S+?)-slim", docker, re.MULTILINE)
    (project,) = re.findall(r'^version = "(\S+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    image = f"sweeps:{project}-py{python}-ray{ray}"
    assert ray == metadata.version("ray")
    assert f"--python-version {python}" in lock.splitlines()[1]
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"sweeps:\d[^\s\"]*", text)) <= {image}, path
            assert not re.search(r"\bsweeps run\b", text.replace("python -m sweeps run", "")), path
    assert [read(f"{name}.yaml")["docker"]["image"] for name in RAY_UP] == [image] * 3
    spec = read("kuberay/raycluster.yaml")["spec"]
    assert spec["rayVersion"] == ray
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert {each["image"] for group in groups for each in group["template"]["spec"]["containers"]} == {image}
    for name in ("slurm.sbatch", "cluster.sh", "kuberay/rayjob.yaml"):
        assert "python -m sweeps run" in (CLUSTER / name).read_text(), name


@pytest.mark.parametrize(("cloud", "client"), [("aws", "boto3"), ("gcp", "google-api-python-client")])
def test_what_ray_imports_for_a_cloud_is_in_the_image(cloud, client):
    """On the head the autoscaler starts workers, on the user's machine `ray up` the head: with the cloud's client."""
    import ray

    called = {"googleapiclient": "google-api-python-client", "google": "google-auth", "yaml": "pyyaml"}
    imported: set[str] = set()
    for path in (Path(ray.__file__).parent / "autoscaler" / "_private" / cloud).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    needed = {called.get(name, name.replace("_", "-")) for name in imported - sys.stdlib_module_names - {"ray"}}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    assert client in needed
    assert needed <= locked


def test_the_entry_point_takes_the_options_that_the_files_give():
    from typer.main import get_command

    from sweeps.cli import app

    entry = read("kuberay/rayjob.yaml")["spec"]["entrypoint"].split()
    assert entry[:4] == ["python", "-m", "sweeps", "run"]
    command = get_command(app).commands["run"]
    with command.make_context("run", entry[4:]) as context:
        assert context.params["address"] == "auto"
    assert (ROOT / entry[4]).is_file()


@pytest.mark.parametrize("name", RAY_UP)
def test_nobody_without_the_token_gets_in(name):
    config = read(f"{name}.yaml")
    starts = [
        line for role in ("head", "worker") for line in config[f"{role}_start_ray_commands"] if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]  # reached through ssh
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


def test_no_file_holds_a_token_and_all_ask_for_one():
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"AUTH_TOKEN\s*[:=]\s*[\"']?[\w-]{16,}", text), path
            assert re.search(r"RAY_AUTH_MODE(=|: )token|authOptions: \{mode: token\}", text), path
            assert "disabled" not in text, path


@pytest.mark.parametrize("name", RAY_UP[:2])
def test_clouds_are_bounded_and_the_head_runs_no_jobs(name):
    config = read(f"{name}.yaml")
    kinds = config["available_node_types"]
    assert kinds[config["head_node_type"]]["resources"] == {"CPU": 0}
    assert sum(kind.get("max_workers", 0) for kind in kinds.values()) <= config["max_workers"]
    assert all(kind["min_workers"] == 0 for label, kind in kinds.items() if label != "head")
    assert "SPOT" in str(kinds["gpu_spot"]).upper()
    assert "SPOT" not in str(kinds["gpu_on_demand"]).upper()


# --- cluster.sh, with doubles of ray, kubectl and sbatch that write down how they were called -----------------------


@pytest.fixture
def verb(tmp_path):
    """Runs one verb in a copy of the folder; gives what was printed and how the programs were called."""
    (tmp_path / "ray_configs").mkdir()
    (tmp_path / "ray_configs" / "cluster").symlink_to(CLUSTER)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("ray", "kubectl", "sbatch", "squeue", "scancel"):
        answer = {"kubectl": "echo dG9rZW4=", "sbatch": "echo 4711"}.get(name, ":")
        keep = f'echo "{name} $*" "${{OUT:+OUT=$OUT}}" >> {tmp_path}/calls'
        (programs / name).write_text(f"#!/bin/sh\n{keep}\n{answer}\n")
        (programs / name).chmod(0o755)

    def run(*words, **environment):
        script = tmp_path / "ray_configs" / "cluster" / "cluster.sh"
        (tmp_path / "calls").write_text("")
        done = subprocess.run(["bash", "-c", f'cd "{tmp_path}" && exec bash <(sed "s#^cd .*#:#" "{script}") "$@"', "-",
                               *words], capture_output=True, text=True, check=False, timeout=60,
                              env={"PATH": os.environ["PATH"], "PORT": "1", **environment})  # fmt: skip
        return done.returncode, done.stdout + done.stderr, (tmp_path / "calls").read_text()

    return run, tmp_path


@pytest.mark.parametrize("cluster", ["aws", "gcp", "onprem"])
def test_up_renders_the_file_and_makes_the_token_first(verb, cluster):
    run, folder = verb
    code, said, calls = run("up", cluster, IMAGE="registry.example/s:1", PROJECT="mine")
    assert code == 0, said
    assert calls.splitlines()[0].startswith("ray get-auth-token --generate")
    assert calls.splitlines()[1].startswith(f"ray up --yes out/cluster/{cluster}.yaml")
    rendered = yaml.safe_load((folder / "out" / "cluster" / f"{cluster}.yaml").read_text())
    check_ray(rendered)
    assert rendered["docker"]["image"] == "registry.example/s:1"
    assert "your-project" not in str(rendered)


def test_a_job_is_submitted_with_the_sweep_and_looked_after_by_name(verb):
    run, folder = verb
    code, said, calls = run("submit", "machine", SWEEP="mine.toml", OUT="out/mine", WORKERS="2")
    assert code == 0, said
    (line,) = [line for line in calls.splitlines() if "job submit" in line]
    assert f"-- python -m sweeps run mine.toml --address auto --out {folder}/out/mine --workers 2" in line
    assert "--working-dir ." in line
    assert "runtime_env.yaml" in line
    name = (folder / "out" / "cluster" / "machine.job").read_text().strip()
    assert name in line
    assert f"ray job status --address http://127.0.0.1:1 {name}" in run("status", "machine")[2]
    assert f"ray job logs --follow --address http://127.0.0.1:1 {name}" in run("logs", "machine")[2]


def test_the_rendered_job_on_kubernetes_is_still_one(verb):
    run, folder = verb
    code, said, calls = run("submit", "rayjob", SWEEP="mine.toml", OUT="s3://bucket/mine", GPUS="0.5", WORKERS="16")
    assert code == 0, said
    assert "kubectl apply -f out/cluster/rayjob.yaml" in calls
    manifest = yaml.safe_load((folder / "out" / "cluster" / "rayjob.yaml").read_text())
    check_kuberay(manifest)
    assert manifest["spec"]["entrypoint"] == (
        "python -m sweeps run mine.toml --address auto --out s3://bucket/mine --workers 16 --gpus 0.5"
    )


def test_slurm_gets_sweep_and_output(verb):
    run, _ = verb
    code, said, calls = run("submit", "slurm", OUT="/shared/mine", ARGS="--nodes=8")
    assert code == 0, said
    assert "sbatch --parsable --nodes=8 ray_configs/cluster/slurm.sbatch OUT=/shared/mine" in calls
    assert "scancel 4711" in run("down", "slurm")[2]


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [(("submit", "aws"), {"OUT": "out/mine"}, "OUT must be s3://bucket/folder or an absolute path"),
     (("submit", "slurm"), {"OUT": "out/mine"}, "OUT must be s3://bucket/folder or an absolute path"),
     (("submit", "rayjob"), {"OUT": "out/mine"}, "OUT must be s3://bucket/folder or an absolute path"),
     (("logs", "aws"), {}, "no job was submitted to aws from here"), (("dance", "aws"), {}, "a verb (up")],
)  # fmt: skip
def test_a_wrong_word_is_one_line_and_nothing_is_started(verb, words, environment, said):
    code, printed, calls = verb[0](*words, **environment)
    assert code == 2
    assert f"error: {said}" in printed
    assert not re.search("submit|sbatch|apply|delete", calls)


def test_the_scripts_are_shell():
    for name in ("cluster.sh", "slurm.sbatch"):
        subprocess.run(["bash", "-n", str(CLUSTER / name)], check=True)
