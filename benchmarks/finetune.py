"""(b) Fine-tuning steps per second of the system's worker against a bare PyTorch loop: same model, images, threads.

    python benchmarks/finetune.py

The bare loop holds float images in memory, channels last, and does nothing but train; ours is the ``finetune`` job
with its evaluations taken out of the time on both sides by evaluating nothing but the end, which both then do.
"""

import tempfile
import time
from pathlib import Path

import torch
from scene import image_folder, line, untrained
from torch.nn import functional as F

from sweeps.cluster.worker import Setup, Worker
from sweeps.jobs.context import Context
from sweeps.tasks.registry import embedded as tasks
from sweeps.types import Job, Model, Task
from sweeps.zoo.load import load
from sweeps.zoo.registry import embedded as zoo


def settings(steps: int, batch: int, side: int | None) -> dict:
    """Of one fine-tuning that looks at the validation split once."""
    return {"steps": steps, "batch": batch, "momentum": 0.9, "schedule": "constant", "evaluations": 1,
            "image_size": side, "repeat": 0, "seed": 0, "learning_rate": 0.01, "origin": "grid"}  # fmt: skip


def bare(context: Context, model: Model, task: Task, steps: int, batch: int, side: int | None) -> float:
    """Steps per second of a plain loop, its evaluation on val and test included."""
    loaded = load(model, classes=len(task.classes), view={"image_size": side})
    module = loaded.module
    data = {split: context.examples(task, split, loaded) for split in ("train", "val", "test")}
    begun = time.perf_counter()
    images, labels = data["train"], data["train"].labels
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    module.train()
    order = torch.randperm(len(images)).repeat(1 + steps * batch // len(images))
    for step in range(steps):
        index = order[step * batch : (step + 1) * batch]
        optimiser.zero_grad()
        F.cross_entropy(module(images[index]), labels[index]).backward()
        optimiser.step()
    module.eval()
    with torch.inference_mode():
        for split in ("val", "test"):
            for start in range(0, len(data[split]), 256):
                module(data[split][start : start + 256]).argmax(1)
    return steps / (time.perf_counter() - begun)


def compare(name: str, model: Model, task: Task, steps: int, batch: int, side: int | None) -> None:
    """Best of three for each side, alternating, after one warm-up."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        worker = Worker(Setup(cache=Path(temporary)))
        job = Job("finetune", 1, model, task, settings(steps, batch, side))
        worker.run(job)
        ours, plain = [], []
        for _ in range(3):
            outcome = worker.run(job)
            if not outcome.ok:
                raise SystemExit(outcome.job["error"])
            ours.append(steps / outcome.job["seconds"])
            plain.append(bare(worker.context, model, task, steps, batch, side))
    line(name, max(ours), max(plain), "steps/s", ">= 0.95")


def main() -> None:
    """mobilenetv2 at 128 px, then two models of the embedded zoo as the default sweep trains them."""
    with tempfile.TemporaryDirectory() as temporary:
        photos = image_folder(Path(temporary) / "photos", 128, {"train": 128, "val": 32, "test": 64})
        compare("mobilenetv2_100 at 128 px, batch 32", untrained("mobilenetv2_100"), photos, 12, 32, 128)
    for name in ("mini_resnet_v2_50.expert_full", "mini_mobilenet_v1.mininet"):
        compare(f"{name}, batch 64", zoo()[name], tasks()["mini/cells"], 40, 64, None)


if __name__ == "__main__":
    main()
