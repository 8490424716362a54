"""Ten linear heads trained together against ten plain SGD runs in turn: ms per step, and the ratio.

    python benchmarks/linear_heads.py              # 1 and 2 threads, all sizes, about 3 minutes
    python benchmarks/linear_heads.py --threads 1 --sizes study --rounds 9

Both sides run in this process on the same data and batches, alternating, so that a busy machine
slows both; the ratio of each round is taken and the median (lowest, highest) over rounds is shown,
and the ratio of the fastest times, the fairest where other programs disturb both sides unequally.
Few steps suffice: both sides are linear in the steps. What the heads together do once (the Gram
matrix before, the weights after) is in their time, spread over five times the steps of the plain
runs: less to their favour than the 2500 steps of the study, where it is lost in the noise. "differ"
is the largest difference of a weight between the sides, relative to the largest weight.

Targets (d = 2048, n = 800): at least 8x for C = 10 and 4x for C = 100.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from taskrel.heads import Recipe, Space, batch_stream, train_heads

RECIPE = Recipe()
STUDY = [(2048, 10), (2048, 100)]
SMALL = [
    (64, 4),
    (64, 10),
    (64, 26),
    (128, 4),
    (128, 10),
    (128, 26),
    (256, 4),
    (256, 10),
    (256, 26),
]
HEADER = "threads     d    C   plain ms  together ms   ratio (low, high)     fastest  differ"


def plain(x: Tensor, y: Tensor, classes: int, steps: int) -> Tensor:
    """Weights of the last head after one nn.Linear per repeat and learning rate, one by one."""
    for repeat in range(RECIPE.repeats):
        for rate in RECIPE.learning_rates:
            model = torch.nn.Linear(x.shape[1], classes)
            for parameter in model.parameters():
                torch.nn.init.zeros_(parameter)
            optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=RECIPE.momentum)
            for batch in batch_stream(len(x), RECIPE.batch, steps, (0, repeat)):
                index = torch.from_numpy(batch)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
                optimizer.step()
    return model.weight.detach()


def together(x: Tensor, y: Tensor, classes: int, steps: int) -> Tensor:
    """The same weights from `train_heads`, by the route it takes at the length of the study."""
    space: Space = "sample" if len(x) < 2 * x.shape[1] else "feature"
    return train_heads(x, y, classes, Recipe(steps=steps), space=space).weights[-1, -1]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def line(d: int, classes: int, n: int, steps: int, rounds: int) -> str:
    """One row of the table: medians over the rounds."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(classes, (n,), generator=generator)
    centres = torch.randn(classes, d, generator=generator)
    x = (centres[y] + 2 * torch.randn(n, d, generator=generator)).relu() / 4
    first, second = plain(x, y, classes, 3), together(x, y, classes, 3)
    differ = float((first - second).abs().max() / first.abs().max())
    pairs = []
    for _ in range(rounds):
        alone = seconds(lambda: plain(x, y, classes, steps)) / steps
        joint = seconds(lambda: together(x, y, classes, 5 * steps)) / (5 * steps)
        pairs.append((alone, joint))
    ratios = [alone / joint for alone, joint in pairs]
    alone, joint = (median(side) for side in zip(*pairs, strict=True))
    fastest = min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)
    return (
        f"{torch.get_num_threads():7d} {d:5d} {classes:4d} {1e3 * alone:10.2f} {1e3 * joint:12.3f} "
        f"{median(ratios):7.1f} ({min(ratios):5.1f}, {max(ratios):5.1f}) {fastest:9.1f}  {differ:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", choices=["all", "study", "small"], default="all")
    parser.add_argument("--examples", type=int, default=800)
    parser.add_argument("--steps", type=int, default=40, help="steps of a timed plain run")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sizes = {"all": STUDY + SMALL, "study": STUDY, "small": SMALL}[arguments.sizes]
    print(HEADER)
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for d, classes in sizes:
            print(line(d, classes, arguments.examples, arguments.steps, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
