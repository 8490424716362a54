"""(c) Two workers against one, and (d) the system's own cost per job: on Ray's actors and on Ray Tune.

    python benchmarks/workers.py

(c) runs the same fine-tunings with one and with two workers on Ray and compares the time between the first start and
the last end, machines' start-up left out: that is paid once per sweep.
(d) runs a thousand jobs that do nothing, rows written and fsynced as always; and trials that do nothing on Tune.
"""

import tempfile
import time
from pathlib import Path

from scene import line

from sweeps.cluster.ray_executor import RayExecutor
from sweeps.cluster.search import Searches
from sweeps.cluster.seat import Resources
from sweeps.cluster.worker import Setup
from sweeps.jobs import KINDS
from sweeps.plan import SearchPlan
from sweeps.store import Store
from sweeps.tasks.registry import embedded as tasks
from sweeps.types import Job, Model, Outcome, Row
from sweeps.zoo.registry import embedded as zoo

JOBS = 1000
TRIALS = 40


def nothing(job: Job, context: object) -> dict[str, list[Row]]:
    """A job without work."""
    return {}


def scaling(folder: Path) -> None:
    """(c)"""
    models = [zoo()[name] for name in ("mini_resnet_v2_50.expert_full", "mini_resnet_v2_50.mininet")]
    settings = {"steps": 40, "batch": 64, "momentum": 0.9, "schedule": "constant", "evaluations": 1, "image_size": None,
                "learning_rate": 0.01, "origin": "grid"}  # fmt: skip
    jobs = [Job("finetune", 1, model, tasks()["mini/cells"], settings | {"repeat": repeat, "seed": repeat}, cost=2.0)
            for model in models for repeat in range(10)]  # fmt: skip
    spans = {}
    for workers in (1, 2):
        executor = RayExecutor(Setup(cache=folder / "cache"), Resources(workers=workers), str(folder / "tune"))
        settled: list[Outcome] = []
        executor.run(
            [
                Job("finetune", 1, job.model, job.task, dict(job.settings) | {"seed": 99})
                for job in jobs[: workers * 10 : 10]
            ],
            (),
            lambda outcome: None,
            lambda job: None,
        )  # every worker warm
        executor.run(jobs, (), settled.append, lambda job: None)
        executor.close()
        spans[workers] = (
            max(o.job["finished"] for o in settled) - min(o.job["started"] for o in settled)
        ).total_seconds()
    line(
        "20 fine-tunings: 2 workers against 1 (jobs a minute)",
        60 * len(jobs) / spans[2],
        60 * len(jobs) / spans[1],
        "jobs/min",
        ">= 1.70",
    )


def overhead(folder: Path) -> None:
    """(d)"""
    store = Store(folder / "store")
    store.prepare()
    task = tasks()["mini/cells"]
    setup = Setup(cache=folder / "cache", kinds={**KINDS, "nothing": f"{Path(__file__).stem}:nothing"},
                  path=(str(Path(__file__).parent),))  # fmt: skip
    executor = RayExecutor(setup, Resources(workers=2), str(folder / "tune"))
    jobs = [
        Job("nothing", 1, Model(f"m{index % 10}", "timm:x"), task, {"index": index}, cost=0.001)
        for index in range(JOBS)
    ]
    executor.run([Job("nothing", 1, Model("warm", "timm:x"), task, {"index": -index}) for index in (1, 2)], (),
                 lambda outcome: None, lambda job: None)  # fmt: skip
    begun = time.perf_counter()
    executor.run(jobs, (), store.append, lambda job: None)
    store.wait()
    each = (time.perf_counter() - begun) / JOBS
    begun = time.perf_counter()
    for index in range(200):
        store.append(Outcome({"job": f"x{index}", "status": "ok"}))
    store.wait()
    write = (time.perf_counter() - begun) / 200
    print(f"empty job on Ray: {1e3 * each:.2f} ms each over {JOBS}, {1e3 * write:.2f} ms of it writing and fsync;"
          "   aim <= 10 ms")  # fmt: skip
    plans = [SearchPlan(Model(f"m{cell}", "factory:tiny:build"), task, trial_settings(), 1e-3, 0.5, TRIALS // 4, cell)
             for cell in range(4)]  # fmt: skip
    begun = time.perf_counter()
    executor.search(Searches(plans, lambda table, job: None), lambda outcome: None, lambda job: None)
    took = time.perf_counter() - begun
    print(f"empty trial on Tune: {1e3 * took / TRIALS:.0f} ms each over {TRIALS} trials of 4 searches, start-up "
          f"included ({took:.1f} s in all)")  # fmt: skip
    executor.close()


def trial_settings() -> dict:
    """Fine-tune settings of a model that cannot be built: the trial fails at once, which is the emptiest trial."""
    return {"steps": 4, "batch": 4, "momentum": 0.9, "schedule": "constant", "evaluations": 1, "image_size": None,
            "repeat": 0, "seed": 0}  # fmt: skip


def main() -> None:
    """Both."""
    with tempfile.TemporaryDirectory() as temporary:
        overhead(Path(temporary))
        scaling(Path(temporary))


if __name__ == "__main__":
    main()
