"""Who may ask what of the studio: this machine's own page alone, or whoever has the token.

A page of another site can send requests here, but it cannot forge `Host` (DNS rebinding) or `Origin` (cross-site
posts), nor read what is answered; what a run folder holds is data, of which nothing is run.
"""

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import parse_qs, urlencode

from gannet.errors import UserError

MOST_BYTES = 64 * 1024  # of a request's body
COOKIE = "gannet_token"
SAFE = ("GET", "HEAD")
LOCAL = "127.0.0.1"
OWN = ("localhost", LOCAL, "[::1]")

Scope = Mapping[str, Any]


class Refused(UserError):
    """What the server does not do, with the HTTP status that says so."""

    def __init__(self, line: str, code: int = 400):
        super().__init__(line)
        self.code = code


class Limit:
    """At most `most` of something at once; more are refused with 503."""

    def __init__(self, most: int, what: str):
        self.free, self.what = BoundedSemaphore(most), what

    @contextmanager
    def __call__(self) -> Any:
        if not self.free.acquire(blocking=False):
            raise Refused(f"{self.what}: ask again in a moment", 503)
        try:
            yield
        finally:
            self.free.release()


def own_hosts(port: int, host: str = LOCAL) -> set[str]:
    """What `Host` may be on a port: this machine's names, and that which the server is bound to."""
    named = {*OWN, f"[{host}]" if ":" in host else host}
    return {f"{name}:{port}" for name in named} | (named if port == 80 else set())


@dataclass
class Guard:
    """An ASGI application before another one: it lets through what is allowed, and answers the rest."""

    app: Any
    hosts: Collection[str]
    token: str | None
    page_rules: str
    """The Content-Security-Policy of every answer."""
    proxies: Collection[str] = ()
    """Names under which a proxy shows the page; it may say its own or this machine's as `Host`."""
    any_host: bool = False
    """Where the token is what protects, a name server or proxy may have given this machine any name."""

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def sending(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.headers()]}
            await send(message)

        try:
            self.check_host(headers.get("host", ""))
            self.check_origin(scope["method"], headers)
            if entered := self.entered(scope, headers):
                await answer(sending, 303, b"", entered)
                return
            body = await limited(receive, headers) if scope["method"] not in SAFE else None
        except Refused as refused:
            text = json.dumps({"error": str(refused)}).encode()
            await answer(sending, refused.code, text, [(b"content-type", b"application/json")])
            return
        await self.app(scope, receive if body is None else replayed(body, receive), sending)

    def check_host(self, host: str) -> None:
        """Raises `Refused` where the browser was led here by another name."""
        if not self.any_host and host.lower() not in {*self.hosts, *self.proxies}:
            raise Refused("this address is not one of this studio's: open it by the address that it printed", 403)

    def check_origin(self, method: str, headers: Mapping[str, str]) -> None:
        """Raises `Refused` where another site's page asks."""
        if method in SAFE:
            if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
                raise Refused("pages of other sites get nothing from here", 403)
            return
        scheme, _, host = headers.get("origin", "").partition("://")
        own = {headers.get("host", "").lower(), *self.proxies}
        if scheme not in ("http", "https") or host.lower() not in own:
            raise Refused("only the studio's own page may change anything", 403)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused("what is sent must be application/json", 415)

    def entered(self, scope: Scope, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]] | None:
        """The answer that turns `?token=` into a cookie. Raises `Refused` where a token is needed and not there."""
        if self.token is None:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and same(query.pop("token", [""])[0], self.token):
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Lax; Path=/"
            place = "/" + (f"?{urlencode(query, doseq=True)}" if query else "")
            return [(b"set-cookie", cookie.encode()), (b"location", place.encode())]
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not same(given, self.token) and not same(cookie_of(headers), self.token):
            raise Refused("this studio needs its token: open the whole address that it printed", 401)
        return None

    def headers(self) -> Iterable[tuple[bytes, bytes]]:
        """What every answer carries."""
        yield b"content-security-policy", self.page_rules.encode()
        yield b"x-content-type-options", b"nosniff"
        yield b"referrer-policy", b"no-referrer"
        yield b"cross-origin-resource-policy", b"same-origin"


def same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def cookie_of(headers: Mapping[str, str]) -> str:
    """The token in the cookies; empty where there is none."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


async def limited(receive: Callable[..., Any], headers: Mapping[str, str]) -> bytes:
    """The body of a request. Raises `Refused` where it is too large, whatever its length is said to be."""
    too_large = Refused(f"a request may have {MOST_BYTES // 1024} kB at most", 413)
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > MOST_BYTES:
        raise too_large
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise too_large
    return body


def replayed(body: bytes, receive: Callable[..., Any]) -> Callable[..., Any]:
    """`receive` once the body was read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return messages.pop() if messages else await receive()

    return again


async def answer(send: Callable[..., Any], code: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": code, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
