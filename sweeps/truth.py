"""The ground truth of the embedded zoo: every fine-tuning of the miniature study, shipped as a few Parquet tables.

    make truth                                    runs ray_configs/sweeps/mini46_full.toml and packs its tables
    python -m sweeps.truth out/mini46_full        packs those of a finished output folder

`load` reads them. Nothing here computes a number; curves, resamples and machines' names are left behind.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sweeps.config import SweepConfig
from sweeps.errors import DataError, SweepError
from sweeps.output import read_config
from sweeps.store import Store, write_parquet

FOLDER = Path(__file__).parent / "zoo" / "mini" / "truth"

# Table -> its columns that are kept, in order.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "runs": ("job", "model", "task", "learning_rate", "repeat", "seed", "batch", "steps", "status", "val_accuracy",
             "test_accuracy", "seconds"),
    "scores": ("job", "model", "task", "proxy", "value", "low", "high", "reason", "seed", "seconds"),
    "head2toe": ("job", "model", "task", "val_accuracy", "cross_validated", "test_accuracy", "linear_val_accuracy",
                 "linear_test_accuracy", "features", "kept", "penalty", "fraction", "rate", "seconds"),
    "bounds": ("job", "model", "reference", "task", "mode", "tau", "total", "reference_loss", "label_mismatch",
               "distribution_mismatch", "target_loss", "target_accuracy", "holds", "seconds", "reason"),
    "accuracies": ("model", "task", "group", "accuracy", "repeats", "learning_rate", "val_accuracy", "seconds"),
    "models": ("model", "group", "family", "parameters", "dim", "input_size", "upstream", "upstream_size",
               "upstream_accuracy", "released", "pretrained", "licence", "revision", "summary"),
    "tasks": ("task", "group", "classes", "train", "val", "test", "class_names", "seed", "revision", "summary"),
}  # fmt: skip

_ORDER = ("task", "model", "learning_rate", "repeat", "proxy", "reference", "mode")


@dataclass(frozen=True)
class Truth:
    """A finished study as tables; `truth.runs` is `truth.tables["runs"]`.

    Args:
        tables: name -> Arrow table with the columns of `COLUMNS`. Accuracies are fractions, times in seconds; missing
            is null. ``runs`` has one row per fine-tuning, ``accuracies`` one per model and task: the study's number
            (its better learning rate by validation, mean over repeats).
        provenance: the sweep that made them (``config``), the commits, package versions and devices it ran on.
        folder: where they lie.
    """

    tables: Mapping[str, pa.Table]
    provenance: Mapping[str, Any]
    folder: Path

    @property
    def config(self) -> SweepConfig:
        """The sweep that made the tables."""
        return SweepConfig.model_validate(self.provenance["config"])

    def __getattr__(self, name: str) -> pa.Table:
        try:
            return self.tables[name]
        except KeyError:
            raise AttributeError(f"Truth has no table {name!r}; it has {', '.join(self.tables)}") from None


def load(folder: Path = FOLDER) -> Truth:
    """The shipped tables, or those that `pack` wrote elsewhere. A tenth of a second, no torch.

    Raises:
        DataError: when there are none.
    """
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        tables = {name: ds.dataset(str(folder / f"{name}.parquet"), format="parquet").to_table() for name in COLUMNS}
    except FileNotFoundError as missing:
        raise DataError(f"the truth must have been packed (make truth), got no {missing.filename or missing}") from None
    return Truth(tables, provenance, folder)


def pack(out: Path, folder: Path = FOLDER) -> Truth:
    """Write the tables of a finished output folder, without what only its report needs.

    Raises:
        DataError: when some fine-tuning of the plan has no result.
    """
    store = Store(out)
    config = read_config(out)
    planned = store.read("plan")
    jobs = store.read("jobs")
    jobs = jobs.filter(pc.is_in(jobs["job"], planned["job"].combine_chunks()))
    done = jobs.filter(pc.equal(jobs["status"], "ok"))
    lacking = sorted(set(planned["job"].to_pylist()) - set(done["job"].to_pylist()))
    if lacking or not done.num_rows:
        raise DataError(f"{out} must hold a finished sweep, got {len(lacking)} of {planned.num_rows} jobs without a "
                        "result; run it again")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in COLUMNS.items():
        table = store.read(name)
        if "job" in table.column_names:
            table = table.filter(pc.is_in(table["job"], done["job"].combine_chunks()))
        keys = [key for key in _ORDER if key in columns]
        rows = table.select(list(columns)).sort_by([(key, "ascending") for key in keys])  # one order, whoever ran first
        write_parquet(folder / f"{name}.parquet", rows)
    provenance = {
        "config": config.model_dump(mode="json"),
        "jobs": done.num_rows,
        "seconds": round(pc.sum(done["seconds"]).as_py() or 0.0),
        **{key: sorted(set(done[key].drop_null().to_pylist())) for key in ("commit", "versions", "device")},
        "started": str(pc.min(done["started"]).as_py()),
        "finished": str(pc.max(done["finished"]).as_py()),
    }
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
    return load(folder)


def main() -> None:
    """Pack the tables of an output folder from the command line."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python -m sweeps.truth OUT [FOLDER]")
    try:
        truth = pack(*map(Path, sys.argv[1:]))
    except SweepError as error:
        raise SystemExit(f"error: {error}") from None
    size = sum(path.stat().st_size for path in truth.folder.iterdir()) / 1e6
    print(f"{truth.folder}: {truth.runs.num_rows} fine-tunings, {truth.scores.num_rows} scores, {size:.1f} MB")


if __name__ == "__main__":
    main()
