"""Head2Toe: taps against the plain forward pass, and the whole cross-validated grid against one fit after another.

    python benchmarks/head2toe.py                                   # extraction, then the grid at 50k features, C = 10
    python benchmarks/head2toe.py --only grid --features 400000 --classes 100 --memory 2048

Extraction: both sides run in this process on the same images, alternating; the median ratio of the rounds is shown, and
the ratio of the fastest times. Every tap is pooled to all three target sizes.

Grid: one target size, 2 penalties x 2 learning rates x 2 steps (500 and 5000) x 11 fractions x 5 folds of 1000 examples
is 40 selections and 440 final heads. The plain side is a linear layer, `torch.optim.Adam` and autograd, one fit after
another: a few steps of each kind are measured (the fastest of three runs) and multiplied by their number, which leaves
out its ranking and gathering. Ours runs as it is. Both use one precision (float32) and the same number of threads. The
data are planted: classes in a latent space, seen through random rectified layers. Peak memory is of the process during
the search (Linux); what it held before is shown beside it.

Times are processor time, which is wall-clock time on an idle machine with one thread (the default).

Aims: extraction at most 1.3x, grid at least 30x.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import timm
import torch
from torch import Tensor

import sweeps.zoo.mini  # noqa: F401  registers the embedded models
from sweeps.zoo.listen import extract
from sweeps.zoo.taps import find_taps
from taskrel.head2toe import CrossValidation, Layers, Search, cross_validate

MODELS = {
    "mini_resnet_v2_50": (32, 128, (256, 1024, 4096)),
    "mini_mobilenet_v2": (32, 128, (256, 1024, 4096)),
    "resnet18": (224, 16, (1024, 16384, 40000)),
    "resnetv2_50": (240, 8, (1024, 16384, 40000)),
    "vit_tiny_patch16_224": (224, 16, (768, 15360, 32448)),
    "vit_base_patch16_224": (224, 8, (768, 15360, 32448)),
}
LAYERS, LATENT = 50, 64


def seconds(action: Callable[[], object]) -> float:
    """Processor time of this process: what other programs take from a busy machine is not counted."""
    start = time.process_time()
    action()
    return time.process_time() - start


def plain_pass(model: torch.nn.Module, batches: list[Tensor]) -> None:
    with torch.inference_mode():
        for each in batches:
            model(each)


def extraction(names: list[str], rounds: int) -> None:
    print("model                   taps  plain ms/image  taps ms/image   ratio  fastest")
    for name in names:
        side, batch, sizes = MODELS[name]
        model = timm.create_model(name, pretrained=False).eval().to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
        batches, taps = [images] * max(1, 128 // batch // 4), find_taps(model, images[:2])

        listen = partial(extract, model, batches, sizes, taps=taps)
        pairs = [(seconds(partial(plain_pass, model, batches)), seconds(listen)) for _ in range(rounds)]
        one, two = (min(side) * 1e3 / (batch * len(batches)) for side in zip(*pairs, strict=True))
        ratio = median(b / a for a, b in pairs)
        print(f"{name:22s} {len(taps):5d} {one:15.2f} {two:14.2f} {ratio:7.2f} {two / one:8.2f}", flush=True)


def planted(features: int, classes: int, n: int = 1000) -> tuple[Layers, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    latent = 0.35 * torch.randn(classes, LATENT, generator=draw)[labels] + torch.randn(n, LATENT, generator=draw)
    blocks = []
    for _ in range(LAYERS):
        mix = torch.randn(features // LAYERS, LATENT, generator=draw) / LATENT**0.5
        noise = 0.5 * torch.randn(len(mix), n, generator=draw)
        shift = 0.5 * torch.randn(len(mix), 1, generator=draw)
        blocks.append((mix @ latent.T).add_(noise).add_(shift).relu_().T)
    return Layers(tuple(f"layer {i}" for i in range(LAYERS)), tuple(blocks)), labels


def plain_step(x: Tensor, labels: Tensor, classes: int, penalty: float, steps: int) -> float:
    """Seconds per step of one plain fit; batches of 128 in turn."""
    model = torch.nn.Linear(x.shape[1], classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, eps=1e-7)
    starts = range(0, len(x), 128)

    def step(i: int) -> None:
        rows = slice(starts[i % len(starts)], starts[i % len(starts)] + 128)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x[rows]), labels[rows])
        if penalty:
            loss = loss + penalty * model.weight.norm(dim=0).sum()
        loss.backward()
        optimizer.step()

    step(0)
    return min(seconds(lambda: list(map(step, range(steps)))) / steps for _ in range(3))


def grid(features: int, classes: int, memory: int, threads: int) -> None:
    layers, labels = planted(features, classes)
    search = Search(memory=memory << 20)
    rows = torch.arange(800)
    total = sum(search.steps) * len(search.rates) * len(search.penalties) * search.folds
    x = layers.columns(np.arange(features), rows=rows).contiguous()
    selecting = plain_step(x, labels[rows], classes, 1e-5, 7)
    final = []
    for fraction in search.fractions:
        part = x[:, : int(fraction * features)].contiguous()
        final.append(plain_step(part, labels[rows], classes, 0.0, 7 if fraction > 0.05 else 28))
        del part
    del x
    plain = total * (selecting + sum(final))
    print(f"D {features}, C {classes}, n 1000, {threads} thread(s): plain {selecting * 1e3:.2f} ms per selecting step, "
          f"{sum(final) * 1e3:.2f} ms per final step of all {len(final)} fractions, {total} steps each: "
          f"{plain:.0f} s", flush=True)  # fmt: skip
    before = _resident()
    _reset_peak()
    own = seconds(lambda: print_best(cross_validate({1: layers}, labels, classes, search)))
    print(
        f"together {own:.1f} s, {plain / own:.0f}x; layers take {4 * 1000 * features / 2**20:.0f} MiB, held "
        f"{before:.0f} MiB before, {_peak():.0f} MiB at its peak, setting {memory} MiB",
        flush=True,
    )


def print_best(table: CrossValidation) -> None:
    best = table.best
    print(f"best of {len(table.settings)}: {table.settings[best]}, accuracy {table.accuracy[best].mean():.3f}")


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak() -> float:
    """MiB resident at most since the reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("extraction", "grid"))
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--memory", type=int, default=1024, help="MiB the search may take at once")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.only != "grid":
        extraction(given.models, given.rounds)
    if given.only != "extraction":
        grid(given.features, given.classes, given.memory, given.threads)


if __name__ == "__main__":
    main()
