"""A small server that speaks the hub's protocol for repositories: make one, ask how to upload, commit, fetch.

Written from the protocol that the hub's client speaks; it keeps files in memory and takes one token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

TOKEN = "hf_" + "t" * 34


class HubServer(ThreadingHTTPServer):
    """Repositories by name: their files by name, and whether each is private."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits = 0

    @property
    def commit(self) -> str:
        """The newest commit of all repositories."""
        return f"{self.commits + 1:040x}"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""

    def _send(self, data: Any = None, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        content = json.dumps(data).encode() if body is None else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        """Make a repository, say how files are to come, list some of them, or take a commit."""
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send({"error": "no"}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            if name.startswith("others/"):
                return self._send({"error": "no"}, 403, X_Error_Message="Forbidden")
            if name in self.server.repositories:
                return self._send({"error": "there", "url": f"{self.server.url}/{name}"}, 409)
            self.server.repositories[name] = {}
            self.server.private[name] = asked.get("visibility") == "private" or asked.get("private", False)
            return self._send({"url": f"{self.server.url}/{name}", "name": name})
        if self.path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        place = self.path.partition("?")[0]
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|paths-info)/main", place)
        if not found or found[1] not in self.server.repositories:
            return self._send({"error": "no"}, 404, X_Error_Code="RepoNotFound")
        files = self.server.repositories[found[1]]
        if found[2] == "preupload":
            answer = {"uploadMode": "regular", "shouldIgnore": False}
            return self._send({"files": [{"path": f["path"], **answer} for f in json.loads(body)["files"]]})
        if found[2] == "paths-info":
            asked = parse_qs(body.decode()).get("paths", []) or []
            return self._send(
                [{"type": "file", "path": p, "size": len(files[p]), "oid": "0" * 40} for p in asked if p in files]
            )
        for line in body.splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
        self.server.commits += 1
        return self._send(
            {
                "success": True,
                "commitOid": self.server.commit,
                "commitUrl": f"{self.server.url}/{found[1]}/commit/{self.server.commit}",
            }
        )

    def do_HEAD(self) -> None:
        """A file without its content."""
        self.do_GET()

    def do_GET(self) -> None:
        """A file, or what is known of a repository."""
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        if found:
            files = self.server.repositories.get(found[1])
            if files is None:
                return self._send({"error": "no"}, 404, X_Error_Code="RepoNotFound")
            if found[2] not in files:
                return self._send({"error": "no"}, 404, X_Error_Code="EntryNotFound")
            body = files[found[2]]
            etag = hashlib.sha256(body).hexdigest()
            return self._send(body=body, ETag=f'"{etag}"', X_Repo_Commit=self.server.commit)
        name = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", self.path.partition("?")[0])
        if name and name[1] in self.server.repositories:
            return self._send(
                {"id": name[1], "sha": self.server.commit, "siblings": [], "private": self.server.private[name[1]]}
            )
        return self._send({"error": "no"}, 404, X_Error_Code="RepoNotFound")


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server, gone afterwards."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
