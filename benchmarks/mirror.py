"""What the mirror in W&B costs beside the sweep that it shows: CPU seconds of both, W&B's own processes included.

    python benchmarks/mirror.py out/mini    # a finished output folder; its copy is mirrored offline, whole, then again
    python benchmarks/mirror.py --wall ray_configs/sweeps/mini.toml    # wall, on a quiet machine

"work" is what the jobs of the folder took, summed over workers. Offline, so no network counts.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def walls(sweep: str, times: int = 2) -> None:
    """Print the wall seconds of a sweep without and with the mirror, run in turn: the least of each, and the share."""
    spent: dict[str, list[float]] = {"off": [], "offline": []}
    for _ in range(times):
        for wandb, found in spent.items():
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-m", "sweeps", "run", sweep, "--out", folder, "--wandb", wandb],
                               check=True, stdout=subprocess.DEVNULL)  # fmt: skip
                found.append(time.perf_counter() - begun)
    for wandb, found in spent.items():
        print(f"{f'sweep, mirror {wandb}':<28}{min(found):10.1f} s wall, the least of {times}")
    print(f"{'share':<28}{100 * (min(spent['offline']) / min(spent['off']) - 1):10.2f} %")


def main() -> None:
    """Print the seconds and their share."""
    if "--wall" in sys.argv[1:2]:
        walls(sys.argv[2] if len(sys.argv) > 2 else "ray_configs/sweeps/mini.toml")
        return
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/mini")
    if not (out / "sweep.json").exists():
        print(f"{out} holds no sweep: run one first")
        return
    from sweeps import mirror, track
    from sweeps.output import read_config
    from sweeps.store import Store

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(out / "tables", Path(folder) / "tables")
        shutil.copy(out / "sweep.json", folder)
        store, config = Store(Path(folder)), read_config(Path(folder))
        work = sum(row["seconds"] or 0.0 for row in mirror.read(store).tables["jobs"])
        spent = []
        for _ in range(2):
            begun, wall = cpu(), time.perf_counter()
            notes = track.publish(store, config, "offline")
            spent.append((cpu() - begun, time.perf_counter() - wall))
            assert not notes, notes
        import wandb

        begun = cpu()
        wandb.teardown()  # W&B's processes end, and are counted
        service = cpu() - begun
        runs = len(list((Path(folder) / "wandb").glob("offline-run-*")))
    (first, wall), (again, wall_again) = spent
    print(f"{'work of the sweep':<28}{work:10.1f} s")
    print(f"{'mirror':<28}{first:10.2f} s CPU, {wall:.1f} s wall, {runs} runs")
    print(f"{'W&B processes':<28}{service:10.2f} s CPU")
    print(f"{'mirror, nothing new':<28}{again:10.2f} s CPU, {wall_again:.1f} s wall")
    print(f"{'share':<28}{100 * (first + service) / work:10.2f} %")


if __name__ == "__main__":
    main()
