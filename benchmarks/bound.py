"""Our bound against the authors' algorithm as released: time at equal examples N, dimension d and classes K.

    python benchmarks/bound.py --quick         # two sizes, about a minute
    python benchmarks/bound.py                 # d = 512 and 2048, K = 10, 50 and 100
    python benchmarks/bound.py --device cuda   # products on the GPU; the network simplex stays on the CPU
    python benchmarks/bound.py --size 2048 100 --steps 2

Ours is everything from features to all terms: standardisation, the capped classifier, class distances, assignment,
exact transport, the shift, the same-task floor. "again" is one more target with the same reference. As released is the
penalised classifier (10,001 or 2,001 steps of 1000 examples) and 2,001 transform steps, of which a few are measured,
after a few to warm up, the rest extrapolated: steps cost alike. N is 1000 for d = 512 and 2500 for d = 2048,
as released. "forward" is ResNet-18 or ResNet-50 at 224 px over the 2 N examples, measured on a few. Synthetic features,
one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from taskrel.bound.fit import Fit, Part, Reference, fit
from taskrel.bound.released import RECIPES, Recipe, _parts, _Transforms, penalised_head
from taskrel.types import Probe

SIZES = [(512, 10), (512, 50), (512, 100), (2048, 10), (2048, 50), (2048, 100)]
QUICK = [(512, 10), (2048, 50)]


def task(seed: int, n: int, d: int, classes: int, device: str) -> Probe:
    """Overlapping classes with a decaying spectrum, rectified."""
    g = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(99)
    labels = torch.arange(n) % classes
    z = torch.randn(classes, 128, generator=shared)[labels] * (1 + seed % 2) + torch.randn(n, 128, generator=g)
    z = z * torch.arange(1, 129) ** -0.5
    x = (z @ torch.randn(128, d, generator=shared) / 4 + 0.1 * torch.randn(n, d, generator=g)).relu()
    return Probe(x.to(device), labels.numpy())


def seconds(run: Callable[[], object], device: str) -> float:
    """Time of one call: on a GPU by the clock, else of the processor, so that other programs do not count."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    began = clock()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - began


def ours(reference: Probe, target: Probe, per_class: int, device: str) -> tuple[float, float, str]:
    """Seconds of a bound from features, of one more target, and what the bound was."""
    found: list[tuple[Reference, Fit]] = []

    def whole() -> None:
        ready = Reference.of(reference, per_class=per_class)
        found.append((ready, fit(ready, Part.of(target, per_class=per_class))))

    total = seconds(whole, device)
    ready, fitted = found[-1]
    again = seconds(lambda: fit(ready, Part.of(target, per_class=per_class)), device)
    terms = fitted.terms
    return total, again, f"{terms.total:.3f} / {terms.total_projected:.3f} / {terms.trivial:.3f}"


def released(reference: Probe, target: Probe, recipe: Recipe, device: str, steps: int) -> tuple[float, float]:
    """Seconds of the classifier and of the transforms, extrapolated from `steps` of each after as many to warm up."""
    one, _ = _parts(reference, reference)
    two, _ = _parts(target, target)

    def few(count: int) -> Recipe:
        # At a tenth of their rate, which costs the same: at theirs the first steps overshoot, as a divergence would.
        return Recipe(batch=recipe.batch, steps=count, head_steps=count, head_rate=recipe.head_rate / 10)

    penalised_head(one, few(3))
    head_step = seconds(lambda: penalised_head(one, few(steps)), device) / steps
    loop = _Transforms(one, two, penalised_head(one, few(50)), few(steps), "LearnedAll", 0)
    loop.run()
    step = seconds(loop.run, device) / steps
    return head_step * recipe.head_steps, step * recipe.steps


def forward(d: int, examples: int, device: str) -> float:
    """Seconds to embed as many images, from a batch of 16."""
    import torchvision

    model = (torchvision.models.resnet18 if d == 512 else torchvision.models.resnet50)(weights=None).eval().to(device)
    images = torch.randn(16, 3, 224, 224, device=device)
    with torch.inference_mode():
        model(images)
        return seconds(lambda: model(images), device) / 16 * examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sizes")
    parser.add_argument("--size", type=int, nargs=2, metavar=("D", "K"), help="one size only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=5, help="steps of the authors' loops that are measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    import ot  # noqa: F401  # seconds to import, on nobody's account

    print("| d | K | N | ours, s | again, s | as released, s (classifier + transforms, extrapolated) | ratio | "
          "ours / forward | again / forward | total / projected / trivial |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    ratios = []
    for d, classes in [options.size] if options.size else QUICK if options.quick else SIZES:
        recipe = RECIPES["rn18" if d == 512 else "rn50"]
        n = recipe.batch
        reference, target = (task(seed, n, d, classes, options.device) for seed in (0, 1))
        total, again, bound = ours(reference, target, n // classes, options.device)
        head, loop = released(reference, target, recipe, options.device, options.steps)
        embed = forward(d, 2 * n, options.device)
        ratios.append((head + loop) / total)
        print(f"| {d} | {classes} | {n} | {total:.2f} | {again:.2f} | {head:.0f} + {loop:.0f} | {ratios[-1]:.0f} | "
              f"{total / embed:.1%} | {again / embed:.1%} | {bound} |", flush=True)  # fmt: skip
    print(f"\nratio: least {min(ratios):.0f}, median {np.median(ratios):.0f}; aim 50")


if __name__ == "__main__":
    main()
