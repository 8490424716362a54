"""The door to the Hugging Face hub: a repository's commit, and its files in the shared cache. Knows no model.

The hub's own client downloads, retries and goes on where it was cut off (from the last whole 10 MB); files that are
whole stay in its cache, which all programs of a machine share. Added here: nothing is asked that the cache knows, room
on the disk is looked at first, what came is held against its checksum, and what goes wrong is one line that says how to
mend it. A token is read from where ``hf auth login`` or HF_TOKEN puts it, by the client, and is in no line.
"""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sweeps.errors import DataError, ModelError, SweepError

COMMIT = re.compile(r"[0-9a-f]{40}")
ATTEMPTS = 4  # of a request, and of a download that came out wrong
BUSY = frozenset({408, 429, 500, 502, 503, 504})
ROOM = 100_000_000  # bytes of the disk that a download must leave free

T = TypeVar("T")


@dataclass(frozen=True)
class Repository:
    """A repository of models or data sets, and who asks for it: "model 'x'" or "task 'y'", for messages."""

    asker: str
    place: str
    kind: Literal["model", "dataset"] = "model"

    def commit(self, revision: str = "") -> str:
        """The commit that a branch or tag stood for when this machine's cache first met it; asked once, then known.

        Raises:
            ModelError, DataError: when it cannot be known, in one line.
        """
        if COMMIT.fullmatch(revision):
            return revision
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RevisionResolutionError

        asked: dict[str, Any] = {"repo_id": self.place, "repo_type": self.kind, "revision": revision or "main"}
        with self._telling(revision):
            try:
                return HfApi().resolve_revision(**asked, local_files_only=True).resolved
            except RevisionResolutionError:
                return self._patiently(lambda: HfApi().resolve_revision(**asked).resolved)

    def fetch(self, commit: str, patterns: Sequence[str]) -> Path:
        """The folder with the files of a commit whose names match; only what is missing is downloaded.

        Raises:
            ModelError, DataError: when they cannot be had, in one line.
        """
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        wanted: dict[str, Any] = {"repo_id": self.place, "repo_type": self.kind, "revision": commit,
                                  "allow_patterns": list(patterns)}  # fmt: skip
        with self._telling(commit):
            try:
                folder = Path(snapshot_download(**wanted, local_files_only=True))
                if constants.is_offline_mode() or self._is_listed(commit):
                    return folder
            except LocalEntryNotFoundError:
                pass
            return self._download(commit, wanted)

    def files(self, commit: str) -> list[Any]:
        """Every file of a commit with its size and checksum, from the cache or the hub."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        with self._telling(commit):
            listed = HfApi().list_repo_tree(self.place, repo_type=self.kind, revision=commit, recursive=True)
            return [each for each in listed if isinstance(each, RepoFile)]

    def _is_listed(self, commit: str) -> bool:
        """Whether the cache knows which files a commit has; without, no one can say that its folder is whole."""
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        try:
            return bool(get_cached_repo_tree(self.place, repo_type=self.kind, revision=commit))
        except CachedRepoTreeNotFoundError:
            return False

    def _download(self, commit: str, wanted: dict[str, Any]) -> Path:
        from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
        from huggingface_hub.utils import disable_progress_bars, filter_repo_objects, logging

        def there(name: str) -> Path | None:
            found = try_to_load_from_cache(self.place, name, repo_type=self.kind, revision=commit)
            return Path(found) if isinstance(found, str) else None

        disable_progress_bars()
        logging.set_verbosity_error()  # a retry is no news; signed addresses are nobody's
        files = {file.path: file for file in self.files(commit)}
        chosen = filter_repo_objects(files, allow_patterns=wanted["allow_patterns"])
        lacking = [files[name] for name in chosen if there(name) is None]
        self._check_room(Path(constants.HF_HUB_CACHE), sum(file.size for file in lacking))
        wrong: list[str] = []
        for _ in range(ATTEMPTS):
            folder = Path(self._patiently(lambda: snapshot_download(**wanted)))
            came = {file.path: there(file.path) for file in lacking}
            wrong = [file.path for file in lacking if not _is_whole(came[file.path], file)]
            for name in wrong:
                _remove(came[name])
            if not wrong:
                return folder
        raise self._fault(f"{wrong[0]} of {self.place} must have the checksum that the hub states, it came {ATTEMPTS} "
                          "times with another; something between here and the hub changes it")  # fmt: skip

    def _check_room(self, cache: Path, needed: int) -> None:
        folder = next(place for place in [cache.absolute(), *cache.absolute().parents] if place.is_dir())
        free = shutil.disk_usage(folder).free
        if needed + ROOM > free:
            raise self._fault(f"{self.place} needs {needed / 1e6:.1f} MB in {cache}, got {free / 1e6:.1f} MB free; "
                              "make room or set HF_HOME to a folder on a larger disk")  # fmt: skip

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask again, ever later, while the hub is busy or what came is of the wrong size."""
        from huggingface_hub.errors import RevisionResolutionError

        for attempt in range(ATTEMPTS - 1):
            try:
                return ask()
            except (OSError, RevisionResolutionError) as error:
                answer = _answer(error)
                if not (answer is not None and answer.status_code in BUSY) and "onsistency check" not in str(error):
                    raise
                wait = "" if answer is None else answer.headers.get("Retry-After", "")
                time.sleep(float(wait) if wait.isdigit() else 2**attempt)
        return ask()

    @contextmanager
    def _telling(self, revision: str) -> Iterator[None]:
        """What the client raises becomes one line of ours."""
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionResolutionError

        client: Any = HfHubHTTPError.__bases__[0]  # of whichever HTTP library this version of the client uses
        try:
            yield
        except (OSError, HFValidationError, RevisionResolutionError, client) as error:
            raise self._fault(_without_token(self._line(error, revision or "main"))) from error

    def _line(self, error: BaseException, revision: str) -> str:
        from huggingface_hub import constants, errors

        place, kind = self.place, {"model": "model", "dataset": "data set"}[self.kind]
        causes, answer = list(_causes(error)), _answer(error)
        status = None if answer is None else answer.status_code
        if isinstance(error, errors.GatedRepoError):
            return f"{place} is gated: " + (
                "this account has no access yet; ask for it on the repository's page" if status == 403 else
                "accept its terms on the repository's page, then log in with 'hf auth login' or set HF_TOKEN"
            )  # fmt: skip
        if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
            return (f"{place} must be a folder or a {kind} of the hub that you may read, got none; check the name, and "
                    "log in with 'hf auth login' or set HF_TOKEN if it is private")  # fmt: skip
        if isinstance(error, errors.RevisionNotFoundError):
            return f"revision {revision!r} must be a branch, tag or commit of {place}, got no such"
        if status in (401, 403):
            return f"{place}: the hub refused the token ({status}); log in again with 'hf auth login'"
        if status is not None:
            return f"{place}: the hub answered {status} each time; try again later"
        if any(isinstance(one, errors.OfflineModeIsEnabled) for one in causes) or constants.is_offline_mode():
            return (f"{place} must be a folder, or whole in the cache {constants.HF_HUB_CACHE} while offline "
                    "(HF_HUB_OFFLINE), got neither; run once where there is a network")  # fmt: skip
        if "onsistency check" in str(error):
            return f"{place}: a file came shorter than the hub states, {ATTEMPTS} times; try again later"
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            return f"the cache {constants.HF_HUB_CACHE} must be readable and writable, got: {_first_line(error)}"
        return (f"{place} must be a folder or a {kind} of the hub, got no answer from {constants.ENDPOINT} "
                f"({type(causes[-1]).__name__}: {_first_line(causes[-1])}); is there a network?")  # fmt: skip

    def _fault(self, line: str) -> SweepError:
        return (ModelError if self.kind == "model" else DataError)(f"{self.asker}: {line}")


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _answer(error: BaseException) -> Any:
    """The hub's answer behind an error, None when there was none."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((one.response for one in _causes(error) if isinstance(one, HfHubHTTPError)), None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:200]


def _without_token(line: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    return line.replace(token, "***") if token else line


def _is_whole(path: Path | None, file: Any) -> bool:
    """Whether a file has the size and the checksum that the hub states: SHA-256, or git's SHA-1 for a small one."""
    if path is None or path.stat().st_size != file.size:
        return False
    digest = hashlib.sha256() if file.lfs is not None else hashlib.sha1(b"blob %d\0" % file.size)
    with open(path, "rb") as content:
        while chunk := content.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest() == (file.lfs.sha256 if file.lfs is not None else file.blob_id)


def _remove(path: Path | None) -> None:
    """Take a file out of the cache: its name and what it stands for."""
    if path is not None:
        Path(os.path.realpath(path)).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
