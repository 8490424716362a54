"""A stand-in for the W&B service: enough of its HTTP API for the unmodified clients, in memory, on this machine.

Runs are upserted, resumed and given history through the file stream; artifacts are created with their manifest and
files, committed, and given a new version only when their digest is new; reports are views with an id. ``asked`` counts
every GraphQL operation and ``unknown`` lists those that are not answered: a test asserts that it is empty.
"""

import gzip
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "somebody"
KEY = "0123456789" * 4  # of the right length, known to nobody


class Service:
    """What the service has been told."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.used: list[tuple[str, str]] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.projects: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()
        self.url = ""

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of a run's history, as the service holds them."""
        return [json.loads(line) for line in self.runs[run]["history"]]

    def summary(self, run: str) -> dict[str, Any]:
        """A run's summary, without what the client adds."""
        return {key: value for key, value in json.loads(self.runs[run]["summary"] or "{}").items() if key[0] != "_"}

    def config(self, run: str) -> dict[str, Any]:
        """A run's config, without what the client adds."""
        found = json.loads(self.runs[run]["config"] or "{}")
        return {key: value["value"] for key, value in found.items() if key != "_wandb"}

    def said(self) -> str:
        """Every byte that was received, as text."""
        return "\n".join(body.decode("utf-8", "replace") for body in [*self.bodies, *self.files.values()])

    # --- the GraphQL operations, by name -----------------------------------------------------------------------

    def answer(self, name: str, given: dict[str, Any], query: str) -> dict[str, Any]:
        """The data of one operation."""
        self.asked[name] += 1
        found = getattr(self, f"_{name[:1].lower()}{name[1:]}", None)
        if found is None:
            self.unknown.append(f"{name} {given} {query}")
            return {}
        return found(given)

    def _viewer(self, _: dict) -> dict:
        return {
            "viewer": {
                "id": "U1",
                "entity": ENTITY,
                "username": ENTITY,
                "email": None,
                "flags": "{}",
                "admin": False,
                "teams": {"edges": []},
                "apiKeys": {"edges": []},
                "name": ENTITY,
            }
        }

    def _getDefaultEntity(self, given: dict) -> dict:  # noqa: N802
        return self._viewer(given)

    def _getProjects(self, _: dict) -> dict:  # noqa: N802
        edges = [{"node": self._project(name), "cursor": name} for name in sorted(self.projects)]
        return {
            "models": {"edges": edges, "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}}
        }

    def _serverFeaturesQuery(self, _: dict) -> dict:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _project(self, name: str) -> dict:
        return {
            "id": f"P-{name}",
            "internalId": f"P-{name}",
            "name": name,
            "entityName": ENTITY,
            "entity": {"id": "E1", "name": ENTITY},
            "createdAt": "2026-01-01T00:00:00Z",
            "isBenchmark": False,
            "user": None,
            "__typename": "Project",
        }

    def _runResumeStatus(self, given: dict) -> dict:  # noqa: N802  named after the operation
        run = self.runs.get(given["name"])
        bucket = (
            None
            if run is None
            else {
                "id": f"B-{given['name']}",
                "name": given["name"],
                "summaryMetrics": run["summary"] or "{}",
                "displayName": run["displayName"],
                "logLineCount": 0,
                "historyLineCount": len(run["history"]),
                "eventsLineCount": 0,
                "historyTail": json.dumps(run["history"][-1:]),
                "eventsTail": "[]",
                "config": run["config"],
                "tags": run["tags"],
                "notes": None,
                "wandbConfig": '{"t": 1}',
            }
        )
        return {"model": self._project(given["project"]) | {"bucket": bucket}}

    def _upsertBucket(self, given: dict) -> dict:  # noqa: N802
        new = given["name"] not in self.runs
        run = self.runs.setdefault(
            given["name"], {"history": [], "summary": None, "config": None, "tags": [], "files": [], "finished": 0}
        )
        run.update({key: value for key, value in given.items() if value is not None})
        run.setdefault("displayName", given["name"])
        self.projects.add(given["project"])
        project = self._project(given["project"])
        bucket = {
            "id": f"B-{given['name']}",
            "name": given["name"],
            "displayName": run["displayName"],
            "description": None,
            "config": run["config"],
            "sweepName": None,
            "project": project,
            "historyLineCount": len(run["history"]),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _createRunFiles(self, given: dict) -> dict:  # noqa: N802
        files = [
            {"name": name, "uploadUrl": f"{self.url}/storage/run/{given['run']}/{name}"} for name in given["files"]
        ]
        return {"createRunFiles": {"runID": f"B-{given['run']}", "uploadHeaders": [], "files": files}}

    # --- artifacts ---------------------------------------------------------------------------------------------

    def _artifactType(self, given: dict) -> dict:  # noqa: N802
        known = {one["name"]: one["type"] for one in self.artifacts}.get(given["name"].split(":")[0])
        return {"project": {"artifact": known and {"artifactType": {"name": known}}}}

    def _artifactByID(self, given: dict) -> dict:  # noqa: N802
        held = next(one for one in self.artifacts if one["id"] == given["id"])
        collection = {"__typename": "ArtifactSequence", "name": held["name"], "project": self._project(held["project"])}
        alias = {
            "__typename": "ArtifactAlias",
            "id": f"L-{held['id']}",
            "alias": "latest",
            "artifactCollection": collection,
        }
        found = {
            "__typename": "Artifact",
            "id": held["id"],
            "artifactSequence": collection,
            "description": None,
            "versionIndex": held["version"],
            "artifactType": {"name": held["type"]},
            "aliases": [alias],
            "metadata": "{}",
            "ttlDurationSeconds": -2,
            "ttlIsInherited": False,
            "tags": [],
            "size": 1,
            "historyStep": None,
            "state": held["state"],
            "digest": held["digest"],
            "commitHash": "0",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
        }
        return {"artifact": found}

    def _createArtifact(self, given: dict) -> dict:  # noqa: N802
        told = given["input"]
        name = (told.get("artifactCollectionNames") or [told.get("artifactCollectionName")])[0]
        same = [one for one in self.artifacts if (one["name"], one["digest"]) == (name, told["digest"])]
        if not same:
            version = sum(one["name"] == name for one in self.artifacts)
            same = [
                {
                    "id": f"A{len(self.artifacts)}",
                    "name": name,
                    "type": told["artifactTypeName"],
                    "version": version,
                    "digest": told["digest"],
                    "run": told.get("runName"),
                    "state": "PENDING",
                    "metadata": told.get("metadata"),
                    "client": told.get("clientID"),
                    "project": told["projectName"],
                }
            ]
            self.artifacts += same
        same[0]["client"] = told.get("clientID")
        return {"createArtifact": {"artifact": self._artifact(same[0])}}

    def _artifact(self, held: dict) -> dict:
        return {
            "id": held["id"],
            "state": held["state"],
            "artifactSequence": {"id": held["name"], "latestArtifact": None},
        }

    def _createArtifactManifest(self, given: dict) -> dict:  # noqa: N802
        return {"createArtifactManifest": {"artifactManifest": self._manifest(given["artifactID"], given["name"])}}

    def _manifest(self, artifact: str, name: str) -> dict:
        return {
            "id": f"M-{artifact}",
            "file": {
                "id": f"F-{artifact}",
                "name": name,
                "displayName": name,
                "uploadUrl": f"{self.url}/storage/{artifact}/manifest.json",
                "uploadHeaders": [],
            },
        }

    def _updateArtifactManifest(self, given: dict) -> dict:  # noqa: N802
        manifest = given["artifactManifestID"]
        return {"updateArtifactManifest": {"artifactManifest": self._manifest(manifest.removeprefix("M-"), "manifest")}}

    def _createArtifactFiles(self, given: dict) -> dict:  # noqa: N802
        files = [
            {
                "node": {
                    "id": f"F{number}",
                    "name": one["name"],
                    "displayName": one["name"],
                    "storagePath": None,
                    "uploadUrl": f"{self.url}/storage/{one['artifactID']}/{one['name']}",
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "artifact": {"id": one["artifactID"]},
                }
            }
            for number, one in enumerate(given["input"]["artifactFiles"])
        ]
        return {"createArtifactFiles": {"files": {"edges": files}}}

    def _commitArtifact(self, given: dict) -> dict:  # noqa: N802
        next(one for one in self.artifacts if one["id"] == given["artifactID"])["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": ""}}}

    def _useArtifact(self, given: dict) -> dict:  # noqa: N802
        told = given.get("input", given)
        self.used.append((told["runName"], told["artifactID"]))
        return {
            "useArtifact": {
                "artifact": {
                    "id": told["artifactID"],
                    "digest": "",
                    "description": "",
                    "createdAt": "2026-01-01T00:00:00Z",
                    "labels": "[]",
                    "metadata": "{}",
                }
            }
        }

    # --- reports -----------------------------------------------------------------------------------------------

    def _projectInternalId(self, given: dict) -> dict:  # noqa: N802
        return {"project": self._project(given["projectName"])}

    def _upsertView(self, given: dict) -> dict:  # noqa: N802
        name = given["id"] or f"V{len(self.views)}"
        new = name not in self.views
        self.views[name] = given
        view = {
            "id": name,
            "type": given["type"],
            "name": given["name"],
            "displayName": given["displayName"],
            "description": given["description"],
            "spec": given["spec"],
            "updatedAt": "2026-01-01T00:00:00Z",
            "project": self._project(given["projectName"]),
        }
        return {"upsertView": {"view": view, "inserted": new}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _any(self) -> None:
        body, reply = self._body(), {}
        with self.service.lock:
            if self.path.endswith("/graphql"):
                self.service.bodies.append(body)
                asked = json.loads(body)
                name = asked.get("operationName") or re.findall(r"(?:query|mutation)\s+(\w+)", asked["query"])[0]
                reply = {"data": self.service.answer(name, asked.get("variables") or {}, asked["query"])}
            elif self.path.endswith("/file_stream"):
                self.service.bodies.append(body)
                self._stream(self.path.split("/")[-2], json.loads(body))
            elif self.path.startswith("/storage/") and self.command == "PUT":
                self.service.files[self.path.removeprefix("/storage/")] = body
        self._reply(
            json.dumps(reply).encode()
            if self.command != "GET" or not self.path.startswith("/storage/")
            else self.service.files[self.path.removeprefix("/storage/")]
        )

    def _stream(self, run: str, told: dict) -> None:
        held = self.service.runs[run]
        for name, part in (told.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                held["history"][part["offset"] :] = part["content"]
            elif name == "wandb-summary.json":
                held["summary"] = part["content"][-1]
        held["finished"] += bool(told.get("complete"))

    def _reply(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _any  # noqa: N815  http.server's names


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error of the service's; anything else is one that a test must see."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.RequestHandlerClass.service.unknown.append(repr(error))


@contextmanager
def serve() -> Iterator[Service]:
    """The service on a free port of this machine."""
    service = Service()
    handler = type("Handler", (_Handler,), {"service": service})
    server = _Server(("127.0.0.1", 0), handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
