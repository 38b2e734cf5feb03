"""A hub on this machine: as much of its HTTP as huggingface_hub needs to publish and to load a repository."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories by name, each the files of its commits, the newest last."""

    def __init__(self) -> None:
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.refuses = 0
        """A status that every request for writing gets."""

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        """Those of a commit. Raises `KeyError` where there is none."""
        commits = self.commits[repository]
        known = {oid(i): files for i, files in enumerate(commits)} | {"main": commits[-1]}
        return known[revision]


def oid(number: int) -> str:
    """The name of commit number i."""
    return sha1(str(number).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None: ...

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.say(status, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        try:
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                repository, revision = found[1], found[2] or "main"
                files = self.hub.files(repository, revision)
                number = self.hub.commits[repository].index(files)
                siblings = [{"rfilename": name} for name in files]
                self.json({"id": repository, "sha": oid(number), "siblings": siblings, "private": False, "tags": []})
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+).*", path):
                files = self.hub.files(found[1], found[2])
                rows = [{"type": "file", "path": name, "size": len(data), "oid": ""} for name, data in files.items()]
                self.json(rows)
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                data = self.hub.files(found[1], found[2])[found[3]]
                self.say(200, data, ETag=f'"{sha1(data).hexdigest()}"', X_Repo_Commit=found[2])
            else:
                raise KeyError(path)
        except KeyError:
            kind = "RevisionNotFound" if "/revision/" in path and self.known(path) else "RepoNotFound"
            self.json({"error": "not found"}, 404, X_Error_Code=kind)

    def known(self, path: str) -> bool:
        return any(f"/{repository}/" in path for repository in self.hub.commits)

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if path == "/api/validate-yaml":
            self.json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.hub.tokens or self.hub.refuses:
            self.json({"error": "no"}, self.hub.refuses or 401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.commits.setdefault(repository, [{}])
            self.json({"url": f"https://huggingface.co/{repository}", "name": repository})
        elif "/preupload/" in path:
            names = [each["path"] for each in json.loads(body)["files"]]
            self.json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.json({"error": path}, 404)

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        files = dict(self.hub.files(repository))
        for line in lines:
            name = line["value"].get("path")
            if line["key"] == "file":
                files[name] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[name]
        self.hub.commits[repository].append(files)
        self.json({"commitUrl": f"https://huggingface.co/{repository}/commit/x", "commitOid": "x", "success": True})


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Its address while it serves."""
    handler = type("Bound", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
