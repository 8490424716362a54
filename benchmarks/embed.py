"""(a) Embedding throughput of the system's worker against a bare timm loop: same images, batch, threads, process.

    python benchmarks/embed.py

The bare loop is what anyone writes: ImageFolder, timm's own transform, a DataLoader, the model in eval mode. Ours is
the ``embed`` job as a sweep runs it, once with nothing cached (decoding, writing pixels and features included) and
once as for the second model of a sweep, when the images are decoded already. One thread each.
"""

import shutil
import tempfile
import time
from pathlib import Path

import timm
import timm.data
import torch
from scene import image_folder, line, untrained
from torchvision.datasets import ImageFolder

from sweeps.cluster.worker import Setup, Worker
from sweeps.jobs.embed import embed_job
from sweeps.tasks.registry import embedded as tasks
from sweeps.types import Model, Task
from sweeps.zoo.load import load
from sweeps.zoo.registry import embedded as zoo
from sweeps.zoo.vision import VisionModel

BATCH = 64


def bare(model: Model, task: Task, folder: Path, side: int | None) -> float:
    """Images per second of a plain loop over train and val."""
    loaded = load(model, view={"image_size": side})
    assert isinstance(loaded, VisionModel)
    geometry = loaded.geometry
    transform = timm.data.create_transform(input_size=(3, geometry.size, geometry.size), crop_pct=geometry.crop_pct,
                                           interpolation=geometry.interpolation, mean=loaded.mean.flatten().tolist(),
                                           std=loaded.std.flatten().tolist())  # fmt: skip
    begun, count = time.perf_counter(), 0
    for split in ("train", "val"):
        loader = torch.utils.data.DataLoader(ImageFolder(folder / split, transform), batch_size=BATCH)
        with torch.inference_mode():
            for images, _ in loader:
                loaded.module(images.contiguous(memory_format=torch.channels_last))
                count += len(images)
    return count / (time.perf_counter() - begun)


def ours(worker: Worker, model: Model, task: Task, side: int | None) -> float:
    """Images per second of the embed job, as its row tells."""
    outcome = worker.run(embed_job(model, task, {"batch": BATCH, "image_size": side}))
    if not outcome.ok:
        raise SystemExit(outcome.job["error"])
    return (task.sizes["train"] + task.sizes["val"]) / outcome.job["seconds"]


def compare(name: str, model: Model, task: Task, folder: Path, side: int | None) -> None:
    """Best of three for each side, alternating."""
    torch.set_num_threads(1)
    cold, warm, plain = [], [], []
    for _ in range(3):
        cache = Path(tempfile.mkdtemp())
        worker = Worker(Setup(cache=cache))
        load(model, view={"image_size": side})  # both sides with warm weights and imports
        cold.append(ours(worker, model, task, side))
        warm.append(ours(worker, model, task, side))
        plain.append(bare(model, task, folder, side))
        shutil.rmtree(cache)
    line(f"{name}: first model on the task (decodes)", max(cold), max(plain), "img/s", ">= 0.95")
    line(f"{name}: every further model", max(warm), max(plain), "img/s", ">= 0.95")


def main() -> None:
    """mobilenetv2 at 128 px, then a model of the embedded zoo on an embedded task written out as PNG."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        task = image_folder(folder, 160, {"train": 320, "val": 80, "test": 8})
        compare("mobilenetv2_100 at 128 px", untrained("mobilenetv2_100"), task, folder, 128)
        mini = Path(temporary) / "mini"
        write_out(tasks()["mini/cells"], mini)
        from sweeps.settings import TaskEntry
        from sweeps.tasks.registry import from_images

        task = from_images(TaskEntry(name="mini", path=str(mini)), seed=0)
        compare("mini_resnet_v2_50 at 32 px", zoo()["mini_resnet_v2_50.expert_full"], task, mini, None)


def write_out(task: Task, folder: Path) -> None:
    """An embedded task as an image folder."""
    from PIL import Image

    from sweeps.tasks.mini import draw

    for split, (images, labels) in draw(task.name, task.seed).items():
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            target = folder / split / f"{label:02d}"
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(target / f"{index:04d}.png")


if __name__ == "__main__":
    main()
