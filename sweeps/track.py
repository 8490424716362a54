"""The mirror in Weights & Biases: finished rows for people to look at. Never the record, never read back, never needed.

Nothing here runs in a worker, and nothing of it can fail a sweep: what W&B refuses is said, and told the next time.
Offline, runs are written when the sweep has ended (``wandb sync OUT/wandb/offline-run-*`` sends them later).
Online, a thread tells what is finished while the sweep goes on; what the service holds already is not told again.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sweeps import mirror
from sweeps.config import SweepConfig
from sweeps.errors import ConfigError
from sweeps.fingerprint import file_digest, fingerprint
from sweeps.mirror import Cursor, Shard
from sweeps.store import Store

Mode = Literal["off", "offline", "online"]
PROJECT = "sweeps"
EVERY = 30.0  # seconds between two looks at the tables
SHARE = 0.01  # of one core, at most, that looking may take
PACE = 0.05  # seconds between two new runs: the service takes 80 a second in a project


def check(mode: Mode) -> None:
    """Refuse what cannot work before anything is measured.

    Raises:
        ConfigError: online without a key.
    """
    if mode != "online" or os.environ.get("WANDB_API_KEY"):
        return
    import wandb

    if not wandb.api.api_key:
        raise ConfigError("--wandb online must have a key, got none; run 'wandb login', set WANDB_API_KEY, "
                          "or use --wandb offline")  # fmt: skip


@contextmanager
def live(store: Store, config: SweepConfig, mode: Mode) -> Iterator[None]:
    """Tell online what is finished while the body runs; off and offline have nobody who looks on."""
    if mode != "online":
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(store, config, over), name="wandb mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(store: Store, config: SweepConfig, over: threading.Event) -> None:
    pause = EVERY
    while not over.wait(pause):
        begun = time.thread_time()
        guarded(lambda: Teller(store, config, "online").runs(over))
        pause = max(EVERY, (time.thread_time() - begun) / SHARE)


def publish(store: Store, config: SweepConfig, mode: Mode) -> list[str]:
    """Tell what was not told yet, tables included; notes say what W&B refused."""
    return guarded(lambda: Teller(store, config, mode).all())


def guarded(tell: Callable[[], list[str] | None]) -> list[str]:
    """What ``tell`` has to say, or what W&B refused, in one line."""
    import wandb
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    gone = (HandleAbandonedError, MailboxClosedError, ServerResponseError)
    try:
        return tell() or []
    except (wandb.errors.Error, *gone, OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return [f"W&B did not take everything ({first}); 'sweeps report --wandb' tells the rest"]


class Teller:
    """Tells one destination."""

    def __init__(self, store: Store, config: SweepConfig, mode: Mode) -> None:
        self.store, self.config, self.mode = store, config, mode
        self.cursor = Cursor(store.out, destination(mode))

    def all(self) -> None:
        """Runs, then the tables, then the run of the report, which stands on them."""
        self.runs()
        files = mirror.stage(self.store, self.mode)
        name = safe(self.config.name)
        measured = (f"{name}-measured", files["measured"])
        tables = Shard("tables", f"{self.config.name} tables", "tables", {"sweep": self.config.name,
                       "sweep_id": self.config.fingerprint})  # fmt: skip
        self._with_files(tables, made=measured)
        self._with_files(mirror.verdict(self.store, self.config), made=(f"{name}-derived", files["derived"]),
                         used=measured)  # fmt: skip

    def runs(self, over: threading.Event | None = None) -> None:
        """Tell the runs that have something new; stop early once ``over``."""
        view = mirror.read(self.store)
        for shard in mirror.shards(view, self.config):
            if over is not None and over.is_set():
                return
            content = shard.content
            if self.cursor.get(shard.key, "told") != content:
                order = self.cursor.order(shard, view.finished)
                self.cursor.note(shard.key, order=order)
                self._run(shard, shard.steps(order))
                self.cursor.note(shard.key, told=content)
                time.sleep(PACE)

    def _with_files(self, shard: Shard, made: tuple[str, Sequence[Path]],
                    used: tuple[str, Sequence[Path]] | None = None) -> None:  # fmt: skip
        files = [*made[1], *(used[1] if used else ())]
        content = fingerprint([shard.content, {str(path.name): file_digest(path) for path in files}])
        if self.cursor.get(shard.key, "told") != content:
            self._run(shard, [], lambda run: self._files(run, made, used))
            self.cursor.note(shard.key, told=content)

    def _files(self, run: Any, made: tuple[str, Sequence[Path]], used: tuple[str, Sequence[Path]] | None) -> None:
        """Log tables as an artifact; online they stand on those they were made from (offline W&B records no use)."""
        if used is not None and self.mode == "online":
            base = run.log_artifact(_artifact(*used)).wait()
            run.use_artifact(base)
        run.log_artifact(_artifact(*made))

    def _run(self, shard: Shard, history: Sequence[Mapping[str, Any]], more: Callable[[Any], None] | None = None,
             ) -> None:  # fmt: skip
        """Open a run, tell what it lacks, close it: when this returns the service, or the disk, has it."""
        import wandb

        name = fingerprint([self.config.fingerprint, shard.key])[:16]
        first = self._sent(shard.key, name) if self.mode == "offline" else 0
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT, id=name, name=shard.name, group=self.config.name,
            job_type=shard.job_type, config={**shard.config, "kind": shard.job_type},
            dir=str(self.store.out), mode="online" if self.mode == "online" else "offline",
            resume="allow" if self.mode == "online" else None,
            reinit="create_new", settings=_settings(),
        )  # fmt: skip
        try:
            # A summary is what the shard says, not the last of the history: the parts of a run agree on it. (W&B
            # keeps the last value of a curve with an axis of its own all the same.)
            for name in sorted({name for row in history for name in row}):
                axis = "finetune_step" if name.startswith("curves/") else None
                run.define_metric(name, step_metric=axis, summary="none")
            first = run.starting_step if self.mode == "online" else first
            for step, row in list(enumerate(history))[first:]:
                run.log(dict(row), step=step)
            run.summary.update(dict(shard.summary))
            if more is not None:
                more(run)
        finally:
            run.finish()
        self.cursor.note(shard.key, steps=len(history))

    def _sent(self, key: str, name: str) -> int:
        """How many steps of a run ``wandb sync`` has sent: it appends. What it did not send is written anew."""
        for old in (self.store.out / "wandb").glob(f"offline-run-*-{name}"):
            if any(old.glob("*.synced")):
                self.cursor.note(key, sent=self.cursor.get(key, "steps") or 0)
            else:
                shutil.rmtree(old)
        return int(self.cursor.get(key, "sent") or 0)


def _artifact(name: str, files: Sequence[Path]) -> Any:
    import wandb

    artifact = wandb.Artifact(name, type="tables")
    for path in files:  # in place: they stay where they are, also for a later sync
        artifact.add_file(str(path), name=path.name, policy="immutable", skip_cache=True)
    return artifact


def _settings() -> Any:
    """Quiet, patient for about a minute, and without this machine's name, program, user, code and packages."""
    import wandb

    return wandb.Settings(
        silent=True, console="off", host="withheld", username="withheld", program="sweeps", disable_git=True,
        disable_code=True, disable_job_creation=True, x_disable_meta=True, x_disable_stats=True,
        x_disable_machine_info=True, x_save_requirements=False, init_timeout=60, x_graphql_retry_max=4,
        x_file_stream_retry_max=4, x_file_transfer_retry_max=4,
    )  # fmt: skip


def destination(mode: Mode) -> str:
    """Names where it goes, without saying it."""
    if mode != "online":
        return mode
    where = [os.environ.get(f"WANDB_{word}") for word in ("BASE_URL", "ENTITY", "PROJECT")]
    return f"online-{fingerprint(where)[:12]}"


def safe(name: str) -> str:
    """A name as W&B takes it for an artifact."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)[:100] or "sweep"
