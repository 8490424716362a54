"""Every proxy, and all closed forms together, against the plain algorithms, installed packages and the forward pass.

    python benchmarks/proxies.py --quick                 # n = 1000, d = 512, C = 10, one thread: under a minute
    python benchmarks/proxies.py                         # all sizes, one thread and two
    python benchmarks/proxies.py --packages /tmp/tr      # with transformer-ranker, which lies in that folder
    python benchmarks/proxies.py --device cuda           # our side on the GPU; the plain side stays where numpy is

The suite is every proxy that needs no fit and no training, on one `Probe`, so that what they share is computed once;
"closed" is the suite without the proxies that look at all pairs of examples (knn, knn_loo, msc, parc, ncc);
"alone" is each on a `Probe` of its own. "plain" is the algorithm as one writes it down from the paper
(`plain_proxies.py`), from the same float32 features; "differ" is how far its value is from ours, relative. Both sides
run in one process per size and number of threads, one after the other, the best of up to three times each. Memory is
measured in forked processes, apart from the times. Features are synthetic: relu of a mixture with a decaying spectrum.

Aims: the suite at most 2.5 times its most expensive member alone, at most 5% of the forward pass of mobilenetv2_100 at
224 px over the same examples (its own features have d = 1280), and at least 5 times faster than the plain algorithms
one by one; no n x n matrix beyond a block of 32 MiB, unless n < d, where it is smaller than the features.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import plain_proxies
import torch
from plain_proxies import PLAIN, Task
from torch.utils._python_dispatch import TorchDispatchMode

from taskrel.proxies import PROXIES
from taskrel.types import Probe, Score

SUITE = [name for name, proxy in PROXIES.items() if proxy.cost in ("counts", "product", "decomposition")]
FITS = ["logistic", "pactran", "nleep"]
SOURCES = 1000
FITTED = [(1000, 512, 10), (1000, 2048, 100), (5000, 2048, 10)]  # n, d, C: the fits take long elsewhere
HEAD = (
    "| threads | n | d | C | suite, ms | closed, ms | suite / dearest | closed / dearest "
    "| suite / forward | closed / forward | plain / suite | plain / closed |"
)
# Settings under which ours is the number of the plain algorithm, where by default it is a better one.
SAME: dict[str, dict[str, object]] = {"lda": {"held_out": False}, "knn_loo": {"ties": "label"}}
MIB = 1 << 20
BLOCK = 32  # MiB: what a proxy may hold of an n x n matrix


@dataclass(frozen=True)
class Case:
    """What one child process measures: `what` is a key of `MEASURES`."""

    what: str
    n: int
    d: int
    classes: int
    threads: int
    device: str = "cpu"
    packages: str | None = None

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}, n = {self.n}, d = {self.d}, C = {self.classes}"


def drawn(n: int, d: int, classes: int) -> Task:
    """n training and n/4 validation examples: relu features with a decaying spectrum, and a softmax head on them."""
    g = torch.Generator().manual_seed(0)
    total, latent = n + n // 4, 256
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (total - classes,), generator=g)])
    z = torch.randn(classes, latent, generator=g)[labels] + 3 * torch.randn(total, latent, generator=g)
    z *= torch.arange(1, latent + 1) ** -0.7
    x = z @ torch.randn(latent, d, generator=g) / 4 + 0.1 * torch.randn(total, d, generator=g)
    head = (z @ torch.randn(latent, SOURCES, generator=g)).softmax(dim=1)
    features, y = x.relu().numpy(), labels.numpy()
    return Task(features[:n], y[:n], head[:n].numpy(), features[n:], y[n:])


def parts(task: Task, device: str) -> tuple[Probe, Probe]:
    """A training and a validation probe that nothing has been computed for."""
    if device == "cpu":
        return Probe(task.features, task.labels, task.source_probs), Probe(task.val_features, task.val_labels)
    move = {name: torch.from_numpy(getattr(task, name)).to(device) for name in ("features", "source_probs")}
    val = torch.from_numpy(task.val_features).to(device)
    return Probe(move["features"], task.labels, move["source_probs"]), Probe(val, task.val_labels)


def score(name: str, pair: tuple[Probe, Probe], **settings: Any) -> Score:
    return PROXIES[name].score(*pair, seed=0, **settings)


def fresh(name: str, task: Task, device: str, **settings: Any) -> Score:
    """On a probe of its own: nothing is shared."""
    return score(name, parts(task, device), **settings)


def clock(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def best(call: Callable[[], object], device: str = "cpu", least: int = 1, enough: float = 2.0) -> float:
    """Seconds of the fastest of three calls, or of as many as `enough` seconds allow."""
    taken: list[float] = []
    while len(taken) < 3 and (len(taken) < least or sum(taken) < enough):
        begun = clock(device)
        call()
        taken.append(clock(device) - begun)
    return min(taken)


def suite(task: Task, device: str) -> dict[str, float]:
    """Seconds of each proxy when all are asked about one probe, in the order of the table, and "probe" to make it."""
    begun = clock(device)
    pair = parts(task, device)
    spent = {"probe": clock(device) - begun}
    for name in SUITE:
        begun = clock(device)
        score(name, pair)
        spent[name] = clock(device) - begun
    return spent


def timed(case: Case) -> dict[str, Any]:
    """Ours alone and together, and the plain algorithms beside them."""
    task = drawn(case.n, case.d, case.classes)
    together: list[dict[str, float]] = []
    best(lambda: together.append(suite(task, case.device)), least=2, enough=6.0)
    shortest = min(together, key=lambda spent: sum(spent.values()))
    rows: dict[str, dict[str, Any]] = {}
    for plain in PLAIN:
        for name in plain.proxies:
            alone = best(partial(fresh, name, task, case.device), case.device)
            rows[name] = {"alone": alone, "together": shortest[name]}
        rows[plain.proxies[0]] |= compared(case, task, plain)
    found = {"rows": rows, "suite": sum(shortest.values()), "probe": shortest["probe"], "image": forward(case)}
    return found | {"packages": packages(case, task)}


def compared(case: Case, task: Task, plain: plain_proxies.Plain) -> dict[str, Any]:
    """Seconds of a plain algorithm, and how far its values are from ours."""
    values: list[tuple[float, ...]] = []
    try:
        spent = best(lambda: values.append(plain.run(task)))
    except np.linalg.LinAlgError as fault:
        return {"plain": None, "differ": None, "what": f"{plain.what}: fails ({fault})"}
    pair = parts(task, case.device)
    ours = [score(name, pair, **SAME.get(name, {})).value for name in plain.proxies]
    differ = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, values[0], strict=True))
    # With n < d covariances have null directions; beyond 2000 examples parc draws other ones than the plain one.
    if case.d < case.n <= 2000 and not differ <= plain.tolerance:
        raise SystemExit(f"{plain.proxies} must agree to {plain.tolerance}, got {ours} and {values[0]} ({case})")
    return {"plain": spent, "differ": differ, "what": plain.what}


def suite_only(case: Case) -> dict[str, Any]:
    """The suite and its members alone, at sizes where nothing else is compared."""
    task = drawn(case.n, case.d, case.classes)
    together: list[dict[str, float]] = []
    best(lambda: together.append(suite(task, case.device)), least=2, enough=6.0)
    shortest = min(together, key=lambda spent: sum(spent.values()))
    rows = {name: {"alone": best(partial(fresh, name, task, case.device), case.device),
                   "together": shortest[name]} for name in SUITE}  # fmt: skip
    return {"rows": rows, "suite": sum(shortest.values()), "probe": shortest["probe"], "image": forward(case)}


def forward(case: Case) -> float:
    """Seconds per image of mobilenetv2_100 at 224 px, batches of 32, as the embed job runs it."""
    import timm

    model = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0).eval().to(case.device)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(32, 3, 224, 224, device=case.device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(images)
        return best(lambda: model(images), case.device, least=3) / len(images)


def packages(case: Case, task: Task) -> list[dict[str, Any]] | None:
    """transformer-ranker's three scores beside ours, or None where it is not installed."""
    if case.packages:
        sys.path.append(case.packages)
    try:
        from transformer_ranker.estimators import HScore, LogME, NearestNeighbors  # type: ignore[import-not-found]
    except ImportError:
        return None
    x, y = torch.from_numpy(task.features), torch.from_numpy(task.labels)
    neighbours: dict[str, Any] = {"k": 3, "ties": "label"}
    rows = []
    for name, theirs, settings in (
        ("logme", LogME(), {}),
        ("shrinkage_hscore", HScore(), {}),
        ("knn_loo", NearestNeighbors(k=3), neighbours),
    ):
        spent = best(partial(theirs.fit, embeddings=x, labels=y))
        ours = best(partial(fresh, name, task, "cpu", **settings))
        value = score(name, parts(task, "cpu"), **settings).value
        rows.append({"name": name, "theirs": spent, "ours": ours, "values": (float(theirs.score), value)})
    return rows


def fitted(case: Case) -> dict[str, Any]:
    """Seconds of the proxies that iterate, after the suite has decomposed; and of linear, from two short runs."""
    task = drawn(case.n, case.d, case.classes)
    pair = parts(task, case.device)
    score("logme", pair)
    spent = {name: best(partial(score, name, pair), case.device, enough=1.0) for name in FITS}
    if case.device == "cpu":
        steps = (20, 120)
        score("linear", pair, steps=2)
        short, long = (best(partial(score, "linear", pair, steps=count), enough=1.0) for count in steps)
        default: Any = PROXIES["linear"].settings()["steps"]
        spent["linear"] = short + (long - short) * (default - steps[0]) / 100
    return spent


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes, in MiB, and its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.mib = 0.0
        self.shape: tuple[int, ...] = ()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() / MIB > self.mib:
                self.mib, self.shape = tensor.untyped_storage().nbytes() / MIB, tuple(tensor.shape)
        return made


def peak(case: Case, task: Task, names: Sequence[str]) -> float:
    """MiB that proxies hold at most beyond the features, labels and probabilities they are given."""
    if case.device != "cpu":
        pair = parts(task, case.device)
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        for name in names:
            score(name, pair)
        return (torch.cuda.max_memory_allocated() - held) / MIB
    # A forked child's high-water mark begins at what it has: nothing that ran before counts.
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_peak_here, args=(task, names, sender))
    child.start()
    answer: float = receiver.recv()
    child.join()
    return answer


def _peak_here(task: Task, names: Sequence[str], sender: Any) -> None:
    warm(names)  # pages of libraries are no memory of a proxy
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pair = parts(task, "cpu")
    for name in names:
        score(name, pair)
    unit = 1 if sys.platform == "darwin" else 1024
    sender.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / MIB)


def memory(case: Case) -> dict[str, Any]:
    """Peak of each proxy alone and of the suite, and the largest tensor each makes."""
    task = drawn(case.n, case.d, case.classes)
    found = {}
    for name in [*SUITE, "suite"]:
        names = SUITE if name == "suite" else [name]
        taken = peak(case, task, names)
        pair = parts(task, case.device)
        with Largest() as largest:
            for each in names:
                score(each, pair)
        if largest.mib > BLOCK and largest.mib * MIB >= 8 * case.n**2 and case.n > case.d:
            raise SystemExit(f"{name} must hold no n x n matrix, got a tensor of shape {largest.shape} ({case})")
        found[name] = {"peak": taken, "largest": largest.mib, "shape": largest.shape}
    return found


def warm(names: Sequence[str], device: str = "cpu") -> None:
    """Imports and first calls, on a task of no size."""
    pair = parts(drawn(80, 20, 3), device)
    for name in names:
        score(name, pair, **({"steps": 2} if name == "linear" else {}))


MEASURES: dict[str, Callable[[Case], dict[str, Any]]] = {
    "timed": timed, "suite_only": suite_only, "fitted": fitted, "memory": memory
}  # fmt: skip


def measured(case: Case) -> dict[str, Any]:
    """What a child process of that many threads finds."""
    threads = {f"{name}_NUM_THREADS": str(case.threads) for name in ("OMP", "MKL", "OPENBLAS")}
    if case.what == "memory":
        # Freed blocks go back to the system at once, so that the peak is what is held and not what was.
        threads |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MKL_DISABLE_FAST_MM": "1"}
    command = [sys.executable, __file__, "--child", json.dumps(asdict(case))]
    done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case.what} failed for {case} (exit {done.returncode})")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(case: Case) -> None:
    torch.set_num_threads(case.threads)
    warm([*SUITE, *(FITS if case.what == "fitted" else [])], case.device)
    if case.what == "timed":
        tiny = drawn(200, 80, 3)
        for plain in PLAIN:
            plain.run(tiny)
    print(json.dumps(MEASURES[case.what](case)))


def show(case: Case, found: dict[str, Any]) -> str:
    """Print one size; return its line of the closing table."""
    rows = found["rows"]
    plains = [row["plain"] for row in rows.values() if row.get("plain")]
    most = max(rows, key=lambda name: rows[name]["alone"])
    whole, dearest, passed = found["suite"], rows[most]["alone"], case.n * found["image"]
    print(f"\n{case}; ms\nproxy                 alone  in suite      plain  plain/alone   differ  plain is")
    for name, row in rows.items():
        line = f"{name:<18} {1e3 * row['alone']:8.1f} {1e3 * row['together']:9.1f}"
        if row.get("plain"):
            line += f" {1e3 * row['plain']:10.1f} {row['plain'] / row['alone']:12.1f} {row['differ']:8.0e}"
        print(f"{line}  {row.get('what', '')}".rstrip())
    closed = [name for name in rows if PROXIES[name].cost != "product"]
    shared, first = sum(rows[name]["together"] for name in closed), max(rows[name]["alone"] for name in closed)
    known = sum(rows[name]["plain"] or 0.0 for name in closed if "plain" in rows[name])
    ones = sum(row["alone"] for row in rows.values())
    print(f"suite {1e3 * whole:.0f} (probe {1e3 * found['probe']:.0f}): {whole / dearest:.2f} x {most} alone, "
          f"aim <= 2.5; members alone, summed, {ones / whole:.1f} x")  # fmt: skip
    print(f"forward pass {1e3 * found['image']:.2f} an image, {1e3 * passed:.0f} in all: the suite is "
          f"{100 * whole / passed:.1f}% of it, aim <= 5%")  # fmt: skip
    print(f"without all-pairs proxies: {1e3 * shared:.0f}, {shared / first:.2f} x the most expensive, "
          f"{100 * shared / passed:.1f}% of the forward pass"
          + (f", plain {1e3 * known:.0f}: {known / shared:.1f} x" if known else ""))  # fmt: skip
    if plains:
        print(f"plain one by one {1e3 * sum(plains):.0f}: {sum(plains) / whole:.1f} x the suite, aim >= 5")
        if found["packages"] is None:
            print("transformer-ranker: not installed (--packages DIR says where it is)")
    for row in found.get("packages") or ():
        ours, theirs, values = 1e3 * row["ours"], 1e3 * row["theirs"], row["values"]
        print(f"transformer-ranker {row['name']:<17} {theirs:8.1f}, ours {ours:8.1f}, ratio {theirs / ours:5.1f}   "
              f"values {values[0]:.6g} and {values[1]:.6g}", flush=True)  # fmt: skip
    cells = [
        *(case.threads, case.n, case.d, case.classes),
        *(f"{1e3 * whole:.0f}", f"{1e3 * shared:.0f}", f"{whole / dearest:.2f}", f"{shared / first:.2f}"),
        *(f"{100 * whole / passed:.1f}%", f"{100 * shared / passed:.1f}%"),
        *((f"{sum(plains) / whole:.1f}", f"{known / shared:.1f}") if plains else ("", "")),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def show_fits(case: Case) -> None:
    found = measured(case)
    print(f"fits, {case}: " + ", ".join(f"{name} {1e3 * spent:.0f} ms" for name, spent in found.items()))


def show_memory(case: Case) -> None:
    print(f"\npeak memory beyond the inputs, {case} (an n x n matrix: {8 * case.n**2 / MIB:.0f} MiB); MiB")
    for name, row in measured(case).items():
        print(f"{name:<18} peak {row['peak']:7.1f}   largest tensor {row['largest']:6.1f}  {tuple(row['shape'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, one thread")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for our side")
    parser.add_argument("--packages", help="folder with transformer-ranker, if it is not installed")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(Case(**json.loads(arguments.child)))
        return
    sizes = [(1000, 512, 10)] if arguments.quick else [
        (n, d, c) for n in (1000, 5000) for d in (512, 2048) for c in (10, 100)
    ]  # fmt: skip
    own = [] if arguments.quick else [(n, 1280, c) for n in (1000, 5000) for c in (10, 100)]
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    for threads in [1] if arguments.quick else arguments.threads:
        common = {"threads": threads, "device": arguments.device, "packages": arguments.packages}
        for what, some in (("timed", sizes), ("suite_only", own)):
            for n, d, c in some:
                case = Case(what, n, d, c, **common)
                lines.append(show(case, measured(case)))
        for n, d, c in sizes[:1] if arguments.quick else FITTED:
            show_fits(Case("fitted", n, d, c, **common))

    for n, d, c in sizes[:1] if arguments.quick else [(5000, 512, 100), (5000, 2048, 100)]:
        show_memory(Case("memory", n, d, c, 1, arguments.device))
    print("", *lines, sep="\n")


if __name__ == "__main__":
    main()
