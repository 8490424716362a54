"""A local S3 server (moto) in a process of its own, and a door before it that can be shut."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

BUCKET = "zoo"


def program() -> str | None:
    """Moto's server, beside this Python or on the path; None where it is not installed."""
    return shutil.which("moto_server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class Server:
    """Moto's server; ``requests`` counts what went through the door, ``refuse`` is how many more are throttled."""

    def __init__(self) -> None:
        self.port, self.refuse, self.requests = free_port(), 0, []
        command = [program() or "", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        self.door = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.door.serve_forever, daemon=True).start()
        self.ask("PUT", f"/{BUCKET}", b"", {})

    def uri(self, folder: str) -> str:
        endpoint = quote(f"http://127.0.0.1:{self.door.server_port}", safe="")
        return f"s3://{BUCKET}/{folder}?endpoint_override={endpoint}&region=us-east-1"

    def ask(self, verb: str, path: str, body: bytes, headers: dict) -> tuple[int, list, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(verb, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def _handler(self) -> type:
        server = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self._body()
                server.requests.append((self.command, self.path))
                if server.refuse > 0:
                    server.refuse -= 1
                    text = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
                    found = 503, [("Content-Type", "application/xml")], text
                else:
                    dropped = ("transfer-encoding", "expect", "content-length", "connection")
                    headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
                    found = server.ask(self.command, self.path, body, headers)
                self._answer(*found)

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)

            def _answer(self, status: int, headers: list, text: bytes) -> None:
                self.send_response(status)
                known = {name.lower() for name, _ in headers}
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                if "content-length" not in known:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815  the names are http.server's

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Door

    def close(self) -> None:
        self.door.shutdown()
        self.process.kill()
        self.process.wait()
