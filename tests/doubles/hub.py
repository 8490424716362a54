"""A hub on this machine: serves folders over the protocol that huggingface_hub, timm and datasets speak.

    with Hub() as hub:
        commit = hub.add("me/tiny", folder)                        # one commit on main; again: the next one
        hub.add("me/data", other, kind="dataset", revision="refs/convert/parquet")
        hub.add("me/mine", folder, gated=True)                     # or private=True: needs the header of TOKEN
        hub.moved["tiny"] = "me/tiny"                              # answered with a redirect, as a renamed one
        hub.trouble("model.safetensors", Cut(1000))                # the next GET of it is cut after 1000 bytes
        hub.trouble("config.json", Status(429, {"Retry-After": "0"}), times=2, method="HEAD")
        hub.point(monkeypatch, tmp_path / "home")                  # this process asks it, with an empty cache there
        subprocess.run(..., env=hub.environment(tmp_path / "home"))  # or a process of its own does
        assert [each.path for each in hub.asked("GET")] == [...]   # what was asked, in order
        hub.forget()

Files of the suffixes in LFS (or of at least ``Hub.lfs_size`` bytes) are redirected to a second server of another port,
as to a CDN: it must be asked without a token (``Request.token`` is the one that came, or None). Xet is not advertised.
Commits, etags (git's SHA-1, or SHA-256 for LFS) and error codes are the real ones' forms. Standard library only.

The client waits a second or more before each retry and, when cut off, goes on from its last whole 10 MB; ``hub.point``
makes it wait no longer than a moment and go on from the last whole 4 kB. It does not check what it got against the
etag: who uses it must.
"""

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "hf_" + "q" * 34  # what gated and private repositories want
STRANGER = "hf_" + "z" * 34  # of an account without access; every other token is refused
LFS = (".safetensors", ".bin", ".parquet", ".arrow", ".npz", ".h5", ".pth")


@dataclass(frozen=True)
class Status:
    """Answer with an error."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Close the connection after so many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Spoilt:
    """Another body of the same length: its checksum is wrong. With ``short``, one that lacks its last bytes."""

    short: int = 0


Trouble = Status | Cut | Spoilt


@dataclass(frozen=True)
class Request:
    """What was asked, and the status of the answer."""

    method: str
    path: str
    place: str  # "hub" or "cdn"
    range: str | None
    token: str | None
    status: int


@dataclass(frozen=True)
class File:
    """One version of a file."""

    path: Path
    size: int
    oid: str  # git's
    sha256: str | None  # of a file in LFS


@dataclass
class Repo:
    """Commits by name, oldest first, and what branches and tags stand for."""

    gated: bool = False
    private: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


class Hub:
    """Two servers on free ports of this machine, in threads of this process."""

    def __init__(self, lfs_size: int = 1 << 20, page: int = 1000) -> None:
        self.lfs_size, self.page = lfs_size, page
        self.repos: dict[tuple[str, str], Repo] = {}
        self.moved: dict[str, str] = {}
        self.requests: list[Request] = []
        self.blobs: dict[str, File] = {}
        self._troubles: list[list[Any]] = []
        self._lock = threading.Lock()
        self._servers = {place: _serve(self, place) for place in ("hub", "cdn")}

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT must be."""
        return self.address("hub")

    def address(self, place: str) -> str:
        """Scheme, host and port of one of the two."""
        return f"http://127.0.0.1:{self._servers[place].server_address[1]}"

    def add(self, repo_id: str, folder: Path, *, kind: str = "model", revision: str = "main", gated: bool = False,
            private: bool = False) -> str:  # fmt: skip
        """Commit what a folder holds now (files are read when asked for); the commit's name."""
        repo = self.repos.setdefault((kind, repo_id), Repo())
        repo.gated, repo.private = gated, private
        files = {path.relative_to(folder).as_posix(): self._file(path) for path in sorted(folder.rglob("*"))
                 if path.is_file()}  # fmt: skip
        content = json.dumps([repo_id, kind, len(repo.commits), {name: file.oid for name, file in files.items()}])
        commit = hashlib.sha1(content.encode()).hexdigest()
        repo.commits[commit], repo.refs[revision] = files, commit
        self.blobs |= {file.sha256: file for file in files.values() if file.sha256}
        return commit

    def _file(self, path: Path) -> File:
        body = path.read_bytes()
        large = path.suffix in LFS or len(body) >= self.lfs_size
        oid = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        return File(path, len(body), oid, hashlib.sha256(body).hexdigest() if large else None)

    def trouble(
        self, path: str, what: Trouble, *, times: int = 1, method: str = "GET", place: str | None = None
    ) -> None:
        """The next ``times`` answers to requests whose path ends so (a file's name; of LFS also at the CDN) are spoilt.

        A Status answers at the hub unless ``place`` says "cdn"; a body is spoilt where it is served.
        """
        place = place or ("hub" if isinstance(what, Status) else None)
        self._troubles.append([path, what, times, method, place])

    def trouble_for(self, method: str, names: list[str], place: str) -> Trouble | None:
        """What shall go wrong now, if anything; counts down."""
        with self._lock:
            for each in self._troubles:
                path, what, times, wanted, where = each
                if (
                    times > 0
                    and wanted == method
                    and where in (None, place)
                    and any(one.endswith(path) for one in names)
                ):
                    each[2] -= 1
                    return what
        return None

    def asked(self, method: str | None = None, place: str | None = None) -> list[Request]:
        """What was asked so far, in order."""
        return [each for each in self.requests if method in (None, each.method) and place in (None, each.place)]

    def forget(self) -> None:
        """Forget what was asked, and all trouble."""
        self.requests.clear()
        self._troubles.clear()

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """The environment of a process that asks this hub, with its caches under ``home`` and no token."""
        without = ("HF_", "HUGGING_FACE_HUB_TOKEN", "TRANSFORMERS_OFFLINE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
        return kept | {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | more

    def point(self, monkeypatch: Any, home: Path, *, token: str | None = None, offline: bool = False) -> None:
        """Make this process ask this hub, with its caches under ``home``; a token lies where ``hf auth login`` puts it.

        Once huggingface_hub is imported its environment is read no more, so its constants are changed.
        """
        import datasets.config
        from huggingface_hub import constants
        from huggingface_hub.utils import _http

        home.mkdir(parents=True, exist_ok=True)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        if token is not None:
            (home / "token").write_text(token)
        monkeypatch.setattr(constants, "ENDPOINT", self.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", self.endpoint)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(home / "datasets"))
        sleep = time.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        _http.close_session()  # connections to the hub of the test before


def _serve(hub: Hub, place: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub, "place": place}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


_API = re.compile(r"/api/(models|datasets)/([^/]+(?:/[^/]+)??)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+(?:/[^/]+)??)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    place: str

    def log_message(self, *_: object) -> None:
        """Nothing is written to the terminal."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        self._answer()

    @property
    def token(self) -> str | None:
        given = self.headers.get("Authorization")
        return given.removeprefix("Bearer ") if given else None

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        if self.place == "cdn":
            return self._cdn(path.removeprefix("/"))
        if api := _API.fullmatch(path):
            return self._api(*api.groups())
        if resolve := _RESOLVE.fullmatch(path):
            return self._resolve(*resolve.groups())
        return self._error(404, "", "no such page")

    def _api(self, kind: str, repo_id: str, verb: str | None, revision: str | None, inside: str | None) -> None:
        if self._redirected(repo_id) or self._unknown() or self._refused([self.path]):
            return None
        repo = self.hub.repos.get((kind.removesuffix("s"), repo_id))
        if self._hidden(repo):
            return None
        assert repo is not None
        commit = self._commit(repo, unquote(revision or "main"))
        if commit is None:
            return None
        files = repo.commits[commit]
        if verb == "tree":
            return self._tree(files, unquote(inside or ""))
        if verb == "paths-info":
            wanted = self.form.get("paths", [])
            return self._json([entry for entry in _entries(files, "", deep=True) if entry["path"] in wanted])
        siblings = [{"rfilename": name} | ({"size": file.size, "blobId": file.oid} if "blobs" in self.path else {})
                    for name, file in files.items()]  # fmt: skip
        return self._json({"id": repo_id, "_id": "0" * 24, "sha": commit, "private": repo.private, "tags": [],
                           "gated": "auto" if repo.gated else False, "disabled": False, "siblings": siblings,
                           "lastModified": "2024-01-01T00:00:00.000Z", "createdAt": "2024-01-01T00:00:00.000Z",
                           "usedStorage": sum(file.size for file in files.values())})  # fmt: skip

    def _tree(self, files: dict[str, File], inside: str) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        entries = list(_entries(files, inside, deep=asked.get("recursive", ["false"])[0].lower() == "true"))
        if inside and not entries:
            return self._error(404, "EntryNotFound", f"{inside} does not exist")
        start = int(asked.get("cursor", ["0"])[0])
        headers = {}
        if start + self.hub.page < len(entries):
            query = "&".join(f"{key}={quote(value[0])}" for key, value in asked.items() if key != "cursor")
            link = f"{self.hub.endpoint}{urlsplit(self.path).path}?{query}&cursor={start + self.hub.page}"
            headers["Link"] = f'<{link}>; rel="next"'
        return self._json(entries[start : start + self.hub.page], headers)

    def _resolve(self, kind: str | None, repo_id: str, revision: str, name: str) -> None:
        name = unquote(name)
        if self._redirected(repo_id) or self._unknown():
            return None
        repo = self.hub.repos.get(("dataset" if kind else "model", repo_id))
        if self._hidden(repo):
            return None
        assert repo is not None
        commit = self._commit(repo, unquote(revision))
        if commit is None:
            return None
        if repo.gated and self.token != TOKEN:
            return self._error(403 if self.token else 401, "GatedRepo",
                               f"Access to {repo_id} is restricted: you are not in the authorized list.")  # fmt: skip
        file = repo.commits[commit].get(name)
        if file is None:
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        if self._refused([name]):
            return None
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.sha256 or file.oid}"', "Accept-Ranges": "bytes"}
        if file.sha256 is None:
            return self._body(file, headers, [name])
        signed = f"{self.hub.address('cdn')}/{file.sha256}?name={quote(Path(name).name)}&signature=0"
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": headers["ETag"], "Location": signed}
        return self._send(302, f"Found. Redirecting to {signed}".encode(), headers)

    def _cdn(self, sha256: str) -> None:
        file = self.hub.blobs.get(sha256)
        if file is None:
            return self._error(403, "", "no such object")
        name = parse_qs(urlsplit(self.path).query)["name"][0]
        if self._refused([name]):
            return None
        return self._body(file, {"ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes"}, [name])

    def _body(self, file: File, headers: dict[str, str], names: list[str]) -> None:
        """The file, or the part of it that is asked for; whatever shall go wrong with it does."""
        body, status = file.path.read_bytes(), 200
        trouble = self.hub.trouble_for(self.command, names, self.place)
        if isinstance(trouble, Spoilt):
            body = bytes(255 - byte for byte in body[: len(body) - trouble.short])
        if asked := _RANGE.fullmatch(self.headers.get("Range") or ""):
            first, last = asked.groups()
            start = int(first) if first else max(0, file.size - int(last))
            stop = min(int(last) + 1, file.size) if first and last else file.size
            if start >= file.size:
                return self._send(416, b"", {"Content-Range": f"bytes */{file.size}"})
            headers |= {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"}
            body, status = body[start:stop], 206
        return self._send(status, body, headers, cut=trouble.after if isinstance(trouble, Cut) else None)

    def _commit(self, repo: Repo, revision: str) -> str | None:
        commit = revision if revision in repo.commits else repo.refs.get(revision)
        if commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _hidden(self, repo: Repo | None) -> bool:
        if repo is None or (repo.private and self.token != TOKEN):
            if self.token:
                self._error(404, "RepoNotFound", "Repository not found")
            else:
                self._error(401, "RepoNotFound", "Invalid username or password.")
            return True
        return False

    def _redirected(self, repo_id: str) -> bool:
        new = self.hub.moved.get(repo_id)
        if new is not None:
            there = re.sub(rf"/{re.escape(repo_id)}(?=[/?]|$)", f"/{new}", self.path, count=1)
            self._send(307, b"", {"Location": there})
        return new is not None

    def _unknown(self) -> bool:
        refused = self.token not in (None, TOKEN, STRANGER)
        if refused:
            self._error(401, "", "Invalid credentials in Authorization header")
        return refused

    def _refused(self, names: list[str]) -> bool:
        trouble = self.hub.trouble_for(self.command, names, self.place) if self._has_status(names) else None
        if isinstance(trouble, Status):
            self._error(trouble.code, "", "on purpose", trouble.headers)
        return trouble is not None

    def _has_status(self, names: list[str]) -> bool:
        """Whether the next trouble of this request is an error: trouble with a body waits for the body."""
        return any(isinstance(what, Status) and times > 0 and method == self.command and where in (None, self.place)
                   and any(one.endswith(path) for one in names)
                   for path, what, times, method, where in self.hub._troubles)  # fmt: skip

    def _error(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        named = {"X-Error-Code": code} if code else {}
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {"Content-Type": "application/json", "X-Error-Message": message, **named,
                                  **(headers or {})})  # fmt: skip

    def _json(self, what: Any, headers: Mapping[str, str] | None = None) -> None:
        self._send(200, json.dumps(what).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        self.hub.requests.append(
            Request(self.command, unquote(self.path), self.place, self.headers.get("Range"), self.token, status)
        )
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Request-Id": "Root=1-0", **headers}.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def _entries(files: Mapping[str, File], inside: str, *, deep: bool) -> Iterator[dict[str, Any]]:
    """What the tree's page lists: files and folders below ``inside``; only the next level unless ``deep``."""
    start, folders = f"{inside}/" if inside else "", set()
    for name, file in files.items():
        if not name.startswith(start):
            continue
        parts = name.removeprefix(start).split("/")
        for depth in range(1, len(parts) if deep else min(len(parts), 2)):
            folder = start + "/".join(parts[:depth])
            if folder not in folders:
                folders.add(folder)
                yield {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
        if deep or len(parts) == 1:
            lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.sha256 else {}
            yield {"type": "file", "oid": file.oid, "size": file.size, "path": name, **lfs}
