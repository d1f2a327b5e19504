#!/usr/bin/env python3
"""Runs real authorization servers against the example server and checks every answer over HTTP.

    python3 tests/interop/run.py [PART...]          # no PART: all of them, see PARTS at the end

It needs Python 3.11, cargo, node with npm, and the folder with the servers' launchers. The servers are installed once
into target/interop and used again until package.json or requirements.txt changes. Everything is on loopback.

    TOWER_BEARER_IDP      the folder with the launchers; default: shared/idp beside the project
    TOWER_BEARER_REQUIRE  a comma-separated list; with `interop` in it, a part that cannot run is a failure
    INTEROP_CARGO_ARGS    more arguments for `cargo build`, for example
                          "--no-default-features --features rust-crypto,rustls,axum"
    CARGO, CARGO_TARGET_DIR   as cargo itself understands them

Output: a line `ok NAME` or `FAILED NAME: what` per check, `skipped: interop NAME (why)` for a part that cannot run,
and the closing line `interop: N passed, N failed, N skipped`. Exit code 1 if anything failed.

To add an authorization server, write one function that takes a `Run`, and put it into PARTS. What every server has to
pass is in `core`, `expiry`, `rotation` and `retirement`, and for tokens that are looked up in `looked_up`.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / "target" / "interop"

BUILD_TIMEOUT = 1800
INSTALL_TIMEOUT = 300
START_TIMEOUT = 30
# A first request may wait for discovery and keys at their slowest, and that is 10 s in the server.
HTTP_TIMEOUT = 20
STOP_TIMEOUT = 5

RESOURCE = "https://api.example.com"
ROUTES = [
    {"method": "GET", "path": "/read", "scopes": ["read"]},
    {"method": "GET", "path": "/admin", "scopes": ["admin"]},
    {"method": "GET", "path": "/any", "any_scopes": ["write", "admin"]},
    {"method": "GET", "path": "/open", "optional": True},
    {"method": "GET", "path": "/public", "public": True},
]
ANONYMOUS = {"anonymous": True}


class Skip(Exception):
    """A part cannot run here, and that is nobody's fault."""


class Checks:
    """Counts, and says at once what became of each check."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def that(self, name, fault):
        """A check has no fault (None or an empty list), or it says which."""
        faults = [fault] if isinstance(fault, str) else list(fault or [])
        if faults:
            self.failed += 1
            say(f"FAILED {name}: {'; '.join(faults)}")
        else:
            self.passed += 1
            say(f"ok {name}")

    def same(self, name, got, wanted):
        self.that(name, differs("got", got, wanted))

    def skip(self, name, why):
        if "interop" in re.split(r"[,\s]+", os.environ.get("TOWER_BEARER_REQUIRE", "")):
            self.failed += 1
            say(f"FAILED interop {name}: must not be skipped ({why})")
        else:
            self.skipped += 1
            say(f"skipped: interop {name} ({why})")


def say(line):
    print(line, flush=True)


def differs(what, got, wanted):
    # As JSON, because in Python 1 == 1.0 == True.
    got, wanted = (json.dumps(value, sort_keys=True) for value in (got, wanted))
    return [] if got == wanted else [f"{what} is {got}, not {wanted}"]


# --- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: list
    body: bytes

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise RuntimeError(f"not JSON: {self}") from None

    def __str__(self):
        shown = [f"{name}: {value}" for name in ("www-authenticate", "retry-after") for value in self.all(name)]
        return " | ".join([f"answer {self.status}", *shown, self.body[:300].decode(errors="replace")])


def request(method, url, headers=(), body=None):
    """One request on a connection of its own. No proxy, no redirect, no retry, no other machine."""
    parts = urlsplit(url)
    assert parts.scheme == "http" and parts.hostname == "127.0.0.1", f"{url} is not on loopback"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=HTTP_TIMEOUT)
    try:
        # Line by line: a dictionary of headers could not hold two of a name.
        connection.putrequest(method, parts.path + (f"?{parts.query}" if parts.query else ""))
        for name, value in [*headers, ("Connection", "close")]:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeError(f"no answer to {method} {url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


def challenge(answer):
    """The parameters of the one `Bearer` challenge, which must be written as RFC 6750 section 3 shows it."""
    values = answer.all("www-authenticate")
    if len(values) != 1:
        raise ValueError(f"{len(values)} WWW-Authenticate lines")
    parameter = r'[a-z_]+="(?:[^"\\]|\\.)*"'
    if not re.fullmatch(rf"Bearer(?: {parameter}(?:, {parameter})*)?", values[0]):
        raise ValueError(f"challenge {values[0]!r}")
    found = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', values[0])
    if len(dict(found)) != len(found):
        raise ValueError(f"a parameter twice in {values[0]!r}")
    return dict(found)


def refused(answer, status, error=None, scope=()):
    """What is wrong with a refusal. `scope`: the values of which the challenge must have one."""
    faults = differs("status", answer.status, status)
    try:
        parameters = challenge(answer)
        faults += differs("error", parameters.get("error"), error)
        if scope and parameters.get("scope") not in scope:
            faults.append(f"scope is {parameters.get('scope')!r}, not one of {list(scope)}")
    except ValueError as wrong:
        faults.append(str(wrong))
    return [*faults, str(answer)] if faults else []


def bad_token(answer):
    return refused(answer, 401, "invalid_token")


def status(answer, wanted):
    faults = differs("status", answer.status, wanted)
    return [*faults, str(answer)] if faults else []


def anonymous(answer):
    return status(answer, 200) or differs("body", answer.json(), ANONYMOUS)


# --- Tokens ----------------------------------------------------------------------------------------------------------


def decode(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Token:
    text: str
    client: str
    scopes: list
    header: dict = field(init=False)
    claims: dict = field(init=False)

    def __post_init__(self):
        header, claims, _ = self.text.split(".")
        self.header, self.claims = json.loads(decode(header)), json.loads(decode(claims))

    def changed(self):
        """This token with one byte of each segment changed, so that each stays well-formed JSON where it was."""
        segments = [bytearray(decode(segment)) for segment in self.text.split(".")]
        jti = self.claims["jti"].encode()
        places = {
            # The last character of the last string: the kid's, or the algorithm's where there is no kid.
            "header": (0, len(segments[0]) - 3),
            # Only the signature can tell that the jti is another.
            "payload": (1, segments[1].index(jti) + len(jti) - 1),
            "signature": (2, len(segments[2]) // 2),
        }
        for name, (segment, place) in places.items():
            copy = [bytearray(data) for data in segments]
            copy[segment][place] ^= 1
            yield name, ".".join(map(encode, copy))


@dataclass
class Opaque:
    """A token that says nothing by itself."""

    text: str
    client: str
    scopes: list


# --- Processes -------------------------------------------------------------------------------------------------------


class Server:
    """A child process that says `READY <url>` on its first line. Ends with its `with` block."""

    def __init__(self, name, command, logs, cwd=None, env=None, stop=signal.SIGTERM):
        self.name, self.command, self.cwd, self.stop = name, command, cwd, stop
        self.env = {**os.environ, **(env or {})}
        # Files, because a pipe that nobody empties would stop the server.
        self.out, self.err = (logs / f"{name}.{stream}" for stream in ("out", "err"))
        self.exit_code = None

    def __enter__(self):
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        try:
            self.url = self._ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def _ready(self):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            # Asked before reading, so that the last words of a process that has ended are read.
            ended = self.process.poll()
            first, newline, _ = self.out.read_text().partition("\n")
            if newline:
                ready = re.fullmatch(r"READY (http://127\.0\.0\.1:\d+)", first)
                if not ready:
                    raise RuntimeError(f"{self.name}: the first line is {first!r}")
                return ready[1]
            if ended is not None:
                raise RuntimeError(f"{self.name} ended with code {ended}: {self.err.read_text()[-500:].strip()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} was not ready after {START_TIMEOUT} s")
            time.sleep(0.05)

    def end(self):
        """May be called more than once."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop)
        try:
            self.exit_code = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.exit_code = self.process.wait()


class Api(Server):
    """The example server."""

    def get(self, path, *tokens, scheme="Bearer", method="GET"):
        headers = [("Authorization", f"{scheme} {getattr(token, 'text', token)}") for token in tokens]
        return request(method, self.url + path, headers)


class Peer(Server):
    """An authorization server."""

    def token(self, client, scope, path="/token", kind=Token, **form):
        """By the client credentials grant."""
        form = {"grant_type": "client_credentials", "scope": scope, **form}
        answer = self.post(path, client, form)
        if answer.status != 200:
            raise RuntimeError(f"{self.name} gave {client} no token: {answer}")
        body = answer.json()
        if body["token_type"].lower() != "bearer":
            raise RuntimeError(f"{self.name} gave {client} a token of type {body['token_type']!r}")
        return kind(body["access_token"], client, scope.split())

    def revoke(self, path, token):
        """RFC 7009."""
        answer = self.post(path, token.client, {"token": token.text, "token_type_hint": "access_token"})
        if answer.status != 200:
            raise RuntimeError(f"{self.name} does not revoke: {answer}")

    def post(self, path, client, form):
        """The client's name says how it authenticates itself."""
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        secret = f"{client}-secret"
        if client.startswith(("basic", "opaque")):
            # RFC 6749 section 2.3.1: encoded as a form first.
            pair = f"{quote(client)}:{quote(secret)}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
        else:
            form = {**form, "client_id": client, "client_secret": secret}
        return request("POST", self.url + path, headers, urlencode(form).encode())

    def control(self, what):
        answer = request("POST", f"{self.url}/_ctl/{what}", body=b"")
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: /_ctl/{what}: {answer}")
        return answer.json()


class Local:
    """A server of ours, which stands before a peer while the `with` lasts."""

    def __init__(self, handler):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Cached(Local):
    """A peer's key set at another port, with the shortest `Cache-Control` that counts: it is refreshed each minute."""

    MAX_AGE = 60

    def __init__(self, peer):
        # The status of every answer, and when it was given.
        self.answers = answers = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer = request("GET", peer.url + self.path)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                if answer.status == 200:
                    self.send_header("Cache-Control", f"max-age={Cached.MAX_AGE}")
                self.end_headers()
                self.wfile.write(answer.body)
                answers.append((answer.status, time.monotonic()))

            def log_message(self, *_):
                pass

        super().__init__(Handler)
        self.jwks = f"{self.url}/jwks"

    def last_good(self):
        return max(when for status, when in self.answers if status == 200)


class KongAdmin(Local):
    """The admin port of a Kong before a peer that has Kong's list of tokens, but asks for a password and lists no
    credentials. `secret` is the password that the peer is told."""

    def __init__(self, peer):
        self.secret = "rs-client-secret"
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                if parts.path == "/oauth2":
                    # There a credential has the id of its client.
                    client = parts.query.removeprefix("id=")
                    status, body = 200, json.dumps({"data": [{"id": client, "client_id": client}]}).encode()
                else:
                    pair = base64.b64encode(f"rs-client:{admin.secret}".encode()).decode()
                    answer = request("GET", peer.url + self.path, [("Authorization", f"Basic {pair}")])
                    status, body = answer.status, answer.body
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self):
                # A peer that is gone is a connection that ends.
                with contextlib.suppress(RuntimeError):
                    super().handle()

            def log_message(self, *_):
                pass

        super().__init__(Handler)


def toml(listen="127.0.0.1:0", resource=RESOURCE, cache=True, issuers=(), routes=()):
    """A settings file."""
    lines = [f"{key} = {value(it)}" for key, it in (("listen", listen), ("resource", resource), ("cache", cache))]
    for table, entries in (("issuer", issuers), ("route", routes)):
        for entry in entries:
            lines += ["", f"[[{table}]]", *(f"{key} = {value(it)}" for key, it in entry.items())]
    return "\n".join(lines) + "\n"


def value(it):
    """JSON's strings, lists of them, and booleans are TOML's too."""
    if isinstance(it, dict):
        return "{ " + ", ".join(f"{key} = {value(member)}" for key, member in it.items()) + " }"
    return json.dumps(it)


@dataclass
class Run:
    """What a part is given."""

    checks: Checks
    binary: Path
    logs: Path
    count: int = 0

    @contextlib.contextmanager
    def api(self, name, peer, /, cache=True, secret="rs-client-secret", **issuer):
        """A fresh example server that trusts this authorization server, and knows no key yet. `None` leaves a field out."""
        self.count += 1
        name = f"{name} server {self.count}"
        settings = self.logs / f"{name}.toml"
        trusted = {"iss": peer.url, "dangerous_allow_http": True, **issuer}
        trusted = {key: value for key, value in trusted.items() if value is not None}
        settings.write_text(toml(cache=cache, issuers=[trusted], routes=ROUTES))
        command, env = [self.binary, "--settings", settings], {"OUR_SECRET": secret}
        with Api(name, command, self.logs, env=env, stop=signal.SIGINT) as api:
            yield api
        self.checks.same(f"{name}: ends on ctrl-c", api.exit_code, 0)

    def peer(self, name, command, cwd, **env):
        # An empty variable is as good as none, and keeps out what happens to be set around us.
        clean = {"PORT": "0", "ISSUER_PATH": "", "AUD": "", "KID": "1"}
        return Peer(name, command, self.logs, cwd=cwd, env={**clean, **env})


# --- What every authorization server has to pass ---------------------------------------------------------------------


def identity(answer, token, issuer, audience, subject=True):
    """What is wrong with the answer of a protected route to this token."""
    if answer.status != 200:
        return status(answer, 200)
    body = answer.json()
    if isinstance(body.get("scopes"), list):
        body["scopes"].sort()
    wanted = {
        "issuer": issuer,
        "subject": token.client if subject else None,
        "client_id": token.client,
        "scopes": sorted(token.scopes),
        "audience": [audience],
        "expires_at": token.claims["exp"],
        "token_id": token.claims["jti"],
        "claims": token.claims,
    }
    faults = differs("members", sorted(body), sorted(wanted))
    return faults + [fault for key in wanted for fault in differs(key, body.get(key), wanted[key])]


def core(run, name, api, peer, audience, **form):
    """Everything about good tokens of one kind, and about what is refused next to them."""

    def check(what, fault):
        run.checks.that(f"{name}: {what}", fault)

    read = peer.token("post-client", "read", **form)
    for client in ("post-client", "basic-client"):
        for scope in ("read", "read admin"):
            token = peer.token(client, scope, **form)
            check(f"{client} with {scope!r} on /read", identity(api.get("/read", token), token, peer.url, audience))
    admin = peer.token("basic-client", "admin", **form)
    check("admin on /admin", identity(api.get("/admin", admin), admin, peer.url, audience))
    check("admin on /any", identity(api.get("/any", admin), admin, peer.url, audience))
    check("a token on /open", identity(api.get("/open", read), read, peer.url, audience))
    check("the scheme in lower case", identity(api.get("/read", read, scheme="bearer"), read, peer.url, audience))
    check("HEAD follows GET", status(api.get("/read", read, method="HEAD"), 200))

    check("read on /admin", refused(api.get("/admin", read), 403, "insufficient_scope", ["admin"]))
    some = ["write", "admin", "write admin"]
    check("read on /any", refused(api.get("/any", read), 403, "insufficient_scope", some))

    check("no token on /read", refused(api.get("/read"), 401))
    check("no token on /open", anonymous(api.get("/open")))
    check("no token on /public", anonymous(api.get("/public")))
    check("another scheme on /read", refused(api.get("/read", "dTpw", scheme="Basic"), 401))
    for segment, changed in read.changed():
        check(f"one byte of the {segment} changed", bad_token(api.get("/read", changed)))
        check(f"one byte of the {segment} changed, on /open", bad_token(api.get("/open", changed)))
        check(f"one byte of the {segment} changed, on /public", anonymous(api.get("/public", changed)))
    check("two Authorization lines", refused(api.get("/read", read, read), 400, "invalid_request"))

    check("an unknown path with a token", status(api.get("/nowhere", read), 404))
    check("an unknown path without one", refused(api.get("/nowhere"), 401))
    check("another method with a token", status(api.get("/read", read, method="POST"), 405))
    check("another method without one", refused(api.get("/read", method="POST"), 401))


def expiry(run, name, peer, kinds, **issuer):
    """`kinds`: by name, the form fields of a token request."""
    with run.api(name, peer, leeway="0s", **issuer) as api:
        # The keys are loaded first, so that the short lives are not spent on waiting for them.
        kind = next(iter(kinds.values()))
        run.checks.that(f"{name}: no leeway", status(api.get("/read", peer.token("post-client", "read", **kind)), 200))
        for kind, form in kinds.items():
            token = peer.token("post-client", "read", ttl="3", **form)
            run.checks.that(f"{name}: {kind} before its expiry", status(api.get("/read", token), 200))
            time.sleep(min(max(token.claims["exp"] - time.time(), 0) + 0.05, 5))
            run.checks.that(f"{name}: {kind} after its expiry", bad_token(api.get("/read", token)))


def rotation(run, name, peer, kinds, fetches=None, **issuer):
    """New keys are found by the first request that needs them. `fetches` tells how often keys were fetched."""
    with run.api(name, peer, **issuer) as api:
        old = {kind: peer.token("post-client", "read", **form) for kind, form in kinds.items()}
        for kind, token in old.items():
            run.checks.that(f"{name}: {kind} before the rotation", status(api.get("/read", token), 200))
        peer.control("rotate")
        new = {kind: peer.token("basic-client", "read", **form) for kind, form in kinds.items()}
        before = fetches() if fetches else None
        for kind, token in new.items():
            if token.header.get("kid"):
                kids = old[kind].header["kid"], token.header["kid"]
                run.checks.that(f"{name}: {kind} has a new kid", "it is the old one" if kids[0] == kids[1] else None)
            answer = api.get("/read", token)
            run.checks.that(f"{name}: {kind} by the new key, in the first request", status(answer, 200))
        for kind, token in old.items():
            run.checks.that(f"{name}: {kind} by the old key", status(api.get("/read", token), 200))
        if fetches:
            grown = fetches() - before
            run.checks.same(f"{name}: {grown} fetch of the keys for {len(kinds)} new keys", grown, 1)


def retirement(run, name, peer, kinds, **issuer):
    """A key that is no longer published is worth nothing to a server that never saw it."""
    old = {kind: peer.token("post-client", "read", **form) for kind, form in kinds.items()}
    peer.control("rotate")
    peer.control("retire")
    with run.api(name, peer, **issuer) as api:
        for kind, token in old.items():
            run.checks.that(f"{name}: {kind} by the retired key", bad_token(api.get("/read", token)))
        for kind, form in kinds.items():
            token = peer.token("post-client", "read", **form)
            run.checks.that(f"{name}: {kind} by the new key", status(api.get("/read", token), 200))


# Who we are, at every introspection endpoint. The secret is in the environment of the example server.
RS_CLIENT = {"client_id": "rs-client", "client_secret_env": "OUR_SECRET"}


def unavailable(answer):
    """What is wrong with an answer to a token of which nobody knows anything: our fault, and not the client's."""
    faults = status(answer, 503) + differs("challenges", answer.all("www-authenticate"), [])
    pauses = answer.all("retry-after")
    return faults + ([] if len(pauses) == 1 and re.fullmatch(r"[1-9]\d?", pauses[0]) else [f"Retry-After is {pauses}"])


def looked_up(run, name, peer, audience, grant, /, revoke=None, wrong=None, **issuer):
    """Everything about tokens that a peer of its own is asked about; at the end that is down.

    `grant` asks for one by scope and form fields, `revoke` revokes one, `wrong` is what is different where the peer does
    not know us.
    """

    def check(what, fault):
        run.checks.that(f"{name}: {what}", fault)

    def found(answer, token):
        if answer.status != 200:
            return status(answer, 200)
        body = answer.json()
        wanted = {"client_id": token.client, "scopes": sorted(token.scopes), "audience": [audience]}
        got = {**body, "scopes": sorted(body["scopes"])}
        faults = [fault for key in wanted for fault in differs(key, got[key], wanted[key])]
        lives = body["expires_at"] - time.time()
        return faults + ([] if 0 < lives <= 3600 else [f"it lives for {lives} s"])

    issuer = {"audience": [audience], **issuer}
    with run.api(name, peer, **issuer) as api:
        token, admin = grant("read"), grant("read admin")
        for _ in range(2):
            check("read on /read", found(api.get("/read", token), token))
        check("read and admin on /admin", found(api.get("/admin", admin), admin))
        check("a token on /open", found(api.get("/open", token), token))
        check("read on /admin", refused(api.get("/admin", token), 403, "insufficient_scope", ["admin"]))
        check("an unknown token", bad_token(api.get("/read", "Qx7" * 10)))
        check("an unknown token on /open", bad_token(api.get("/open", "Qx7" * 10)))
        check("one letter changed", bad_token(api.get("/read", token.text[:-1] + ("B" if token.text[-1] == "A" else "A"))))
        check("what cannot be a token", bad_token(api.get("/read", "short")))
        check("what begins like a JWT", bad_token(api.get("/read", "eyJhbGciOiJub25lIn0.e30.")))
        check("no token", refused(api.get("/read"), 401))
    with run.api(name, peer, leeway="0s", **issuer) as api:
        token = grant("read", ttl="3")
        answer = api.get("/read", token)
        check("before its expiry", found(answer, token))
        if answer.status == 200:
            time.sleep(min(max(answer.json()["expires_at"] - time.time(), 0) + 0.05, 5))
        check("after its expiry", bad_token(api.get("/read", token)))
    with run.api(name, peer, **{**issuer, "audience": ["https://other.example.com"]}) as api:
        check("a token for another audience", bad_token(api.get("/read", grant("read"))))
    if revoke:
        with run.api(name, peer, cache=False, **issuer) as api:
            token, other = grant("read"), grant("read")
            check("before it is revoked", found(api.get("/read", token), token))
            revoke(token)
            check("revoked", bad_token(api.get("/read", token)))
            check("another one then", found(api.get("/read", other), other))
    token = grant("read")
    with wrong() if callable(wrong) else contextlib.nullcontext():
        with run.api(name, peer, **{**issuer, **({} if callable(wrong) else {"secret": "wrong"})}) as api:
            check("with a wrong secret", unavailable(api.get("/read", token)))
            check("with a wrong secret, an unknown token", unavailable(api.get("/read", "Qx7" * 10)))
    with run.api(name, peer, **issuer) as api:
        token, unseen = grant("read"), grant("read")
        check("before the peer is down", found(api.get("/read", token), token))
        peer.end()
        check("a new token while it is down", unavailable(api.get("/read", unseen)))
        check("an unknown token while it is down", unavailable(api.get("/read", "Qx7" * 10)))
        check("a remembered one while it is down", found(api.get("/read", token), token))


# --- The authorization servers ---------------------------------------------------------------------------------------


def oidc_provider(run):
    node, folder = install_node(), npm_packages()
    algorithms = {
        "RS256": "urn:api:rs256", "PS256": "urn:api:ps256", "ES256": "urn:api:es256", "EdDSA": "urn:api:eddsa",
    }  # fmt: skip
    kinds = {algorithm: {"resource": resource} for algorithm, resource in algorithms.items()}
    issuer = {"audience": list(algorithms.values())}

    with run.peer("oidc-provider", [node, "oidc-provider.mjs"], folder) as peer:
        name = peer.name

        def fetches():
            return request("GET", peer.url + "/_ctl/stats").json()["stats"].get("/jwks", 0)

        with run.api(name, peer, **issuer) as api:
            for algorithm, audience in algorithms.items():
                token = peer.token("post-client", "read", resource=audience)
                run.checks.same(f"{name}: {algorithm} signs", token.header["alg"], algorithm)
                core(run, f"{name} {algorithm}", api, peer, audience, resource=audience)
            other = peer.token("post-client", "read", resource="urn:api:ids")
            run.checks.that(f"{name}: a token for another audience", bad_token(api.get("/read", other)))
        # The shape of IdentityServer's tokens: the scopes in an array, and no sub.
        with run.api(name, peer, audience=["urn:api:ids"], profile="clickview") as api:
            for scope in ("read", "read admin"):
                token = peer.token("post-client", scope, resource="urn:api:ids")
                found = identity(api.get("/read", token), token, peer.url, "urn:api:ids", subject=False)
                run.checks.that(f"{name} IdentityServer: {scope!r} on /read", found)
            token = peer.token("post-client", "read", resource="urn:api:ids")
            scopeless = refused(api.get("/admin", token), 403, "insufficient_scope", ["admin"])
            run.checks.that(f"{name} IdentityServer: read on /admin", scopeless)
            for segment, changed in token.changed():
                answer = api.get("/read", changed)
                run.checks.that(f"{name} IdentityServer: one byte of the {segment} changed", bad_token(answer))
            other = peer.token("post-client", "read", resource="urn:api:rs256")
            run.checks.that(f"{name} IdentityServer: a token for another audience", bad_token(api.get("/read", other)))
        expiry(run, f"{name} expiry", peer, kinds, **issuer)
        rotation(run, f"{name} rotation", peer, kinds, fetches, **issuer)
        retirement(run, f"{name} retirement", peer, kinds, **issuer)
        outage(run, f"{name} outage", peer, kinds["ES256"], **issuer)


def oidc_provider_opaque(run):
    node, folder = install_node(), npm_packages()
    audience, jwts = "urn:api:opaque", "urn:api:es256"
    with run.peer("oidc-provider opaque", [node, "oidc-provider.mjs"], folder) as peer:
        name = peer.name

        def grant(scope, client="basic-client", **form):
            return peer.token(client, scope, kind=Opaque, resource=audience, **form)

        def asked():
            return request("GET", peer.url + "/_ctl/stats").json()["stats"].get("/token/introspection", 0)

        # Both kinds at one server. A JWT is a matter of keys alone, also one that fails.
        hybrid = {"introspection": RS_CLIENT, "discovery": True, "audience": [audience, jwts]}
        with run.api(f"{name} hybrid", peer, **hybrid) as api:
            jwt, opaque = peer.token("post-client", "read", resource=jwts), grant("read")
            run.checks.that(f"{name}: a JWT beside it", identity(api.get("/read", jwt), jwt, peer.url, jwts))
            for segment, changed in jwt.changed():
                answer = api.get("/read", changed)
                run.checks.that(f"{name}: a JWT with one byte of the {segment} changed", bad_token(answer))
            run.checks.same(f"{name}: nobody was asked about JWTs", asked(), 0)
            answers = [api.get("/read", opaque).status for _ in range(20)]
            run.checks.same(f"{name}: {len(answers)} requests with one token", set_of(answers), [200])
            run.checks.same(f"{name}: one call for them", asked(), 1)
        looked_up(
            run, name, peer, audience, grant, revoke=lambda token: peer.revoke("/token/revocation", token),
            introspection=RS_CLIENT,
        )  # fmt: skip


def oidc_provider_keys(run):
    """We are known by a key: every algorithm, in every encoding of the key, against a server that verifies it."""
    node, folder = install_node(), npm_packages()
    launcher, audience = "oidc-provider-keys.mjs", "urn:api:opaque"
    shutil.copyfile(Path(__file__).parent / launcher, folder / launcher)
    keys = run.logs / "client-keys"
    keys.mkdir()
    with run.peer("oidc-provider keys", [node, launcher], folder, KEYS=str(keys)) as peer:
        name = peer.name

        def ask(client, file, tries=("read",), /, **more):
            """The statuses of requests with new tokens, each of which has to be looked up."""
            introspection = {
                "auth": "private_key_jwt", "client_id": client, "key_file": str(keys / file), "algorithm": client,
                "key_id": f"{client}-key", **more,
            }  # fmt: skip
            with run.api(name, peer, audience=[audience], introspection=introspection) as api:
                tokens = [peer.token("basic-client", scope, kind=Opaque, resource=audience) for scope in tries]
                return [api.get("/read", token) for token in tokens]

        for file in sorted(file.name for file in keys.iterdir()):
            algorithm = file.split(".")[0]
            read, again, admin = ask(algorithm, file, ("read", "read admin", "admin"))
            run.checks.that(f"{name}: {file}", status(read, 200))
            found = read.json().get("client_id") if read.status == 200 else None
            run.checks.same(f"{name}: {file}, whose client", found, "basic-client")
            run.checks.that(f"{name}: {file}, again", status(again, 200))
            run.checks.that(f"{name}: {file}, without the scope", refused(admin, 403, "insufficient_scope", ["read"]))
        [answer] = ask("ES256", "ES256.sec1", audience=f"{peer.url}/token")
        run.checks.that(f"{name}: an assertion for the token endpoint", status(answer, 200))
        for what, client, file, more in (
            ("another client's key", "RS256", "PS256.pkcs8", {}),
            ("another client's name", "PS256", "RS256.pkcs8", {}),
            ("a key id that it does not know", "ES256", "ES256.sec1", {"key_id": "another"}),
            ("an algorithm that it does not expect", "RS256", "RS256.pkcs8", {"algorithm": "PS256"}),
            ("an assertion for somebody else", "ES256", "ES256.sec1", {"audience": "https://other.example.com"}),
        ):
            [answer] = ask(client, file, **more)
            run.checks.that(f"{name}: {what}", unavailable(answer))


def oidc_provider_signed(run):
    """The same with answers that it signs (RFC 9701). Its launcher leaves that feature off; a copy has it on."""
    node, folder = install_node(), npm_packages()
    launcher = (folder / "oidc-provider.mjs").read_text()
    plain, signing = "introspection: { enabled: true,", "jwtIntrospection: { enabled: true }, "
    if launcher.count(plain) != 1:
        raise Skip("the launcher of oidc-provider turns introspection on in another way")
    (folder / "oidc-provider-signed.mjs").write_text(launcher.replace(plain, signing + plain))
    audience, signed = "urn:api:opaque", {**RS_CLIENT, "signed": True}
    with run.peer("oidc-provider signed", [node, "oidc-provider-signed.mjs"], folder) as peer:
        name = peer.name

        def grant(scope, client="basic-client", **form):
            return peer.token(client, scope, kind=Opaque, resource=audience, **form)

        def check(what, fault):
            run.checks.that(f"{name}: {what}", fault)

        issuer = {"introspection": signed, "discovery": True, "audience": [audience]}
        # It signs with RS256, and its answers are for the client that asks.
        for what, other, good in (
            ("RS256 alone", {"algorithms": ["RS256"]}, True),
            ("ES256 alone", {"algorithms": ["ES256"]}, False),
            ("our client id by name", {"introspection": {**signed, "signed_for": "rs-client"}}, True),
            ("another audience", {"introspection": {**signed, "signed_for": RESOURCE}}, False),
        ):
            with run.api(name, peer, **{**issuer, **other}) as api:
                answer = api.get("/read", grant("read"))
                check(f"with {what}", status(answer, 200) if good else unavailable(answer))
        with run.api(name, peer, **issuer) as api:
            check("before the rotation", status(api.get("/read", grant("read")), 200))
            peer.control("rotate")
            check("by the new key, in the first request", status(api.get("/read", grant("read")), 200))
        looked_up(
            run, name, peer, audience, grant, revoke=lambda token: peer.revoke("/token/revocation", token),
            introspection=signed, discovery=True,
        )  # fmt: skip
    # One that signs nothing is not believed.
    with run.peer("oidc-provider unsigned", [node, "oidc-provider.mjs"], folder) as peer:
        token = peer.token("basic-client", "read", kind=Opaque, resource=audience)
        with run.api(peer.name, peer, **{**issuer, "introspection": RS_CLIENT}) as api:
            run.checks.that(f"{peer.name}: where it need not be signed", status(api.get("/read", token), 200))
        with run.api(peer.name, peer, **issuer) as api:
            run.checks.that(f"{peer.name}: where it must be signed", unavailable(api.get("/read", token)))


def outage(run, name, peer, form, **issuer):
    """No keys at the first request, which is our fault and not the client's; then they come back."""
    token = peer.token("post-client", "read", **form)
    with run.api(name, peer, **issuer) as api:
        peer.control("fail?jwks=503")
        try:
            answer = api.get("/read", token)
            run.checks.that(f"{name}: a good token without keys", status(answer, 503))
            run.checks.same(f"{name}: no challenge with it", answer.all("www-authenticate"), [])
            pauses = answer.all("retry-after")
            good = len(pauses) == 1 and re.fullmatch(r"[1-9]\d?", pauses[0])
            run.checks.that(f"{name}: Retry-After with it", None if good else f"it is {pauses}")
            run.checks.that(f"{name}: no token without keys", refused(api.get("/read"), 401))
            run.checks.that(f"{name}: public without keys", anonymous(api.get("/public")))
        finally:
            peer.control("fail?jwks=0")
        time.sleep(int(pauses[0]) if good else 2)
        run.checks.that(f"{name}: the same token when the keys are back", status(api.get("/read", token), 200))


def key_life(run):
    """What happens to a server that runs while its issuer rotates, is slow, withdraws a key, and fails.

    The two that need a refresh to come run side by side, each with a peer of its own, because one takes most of a minute.
    What is not shown here: the end of stale keys, which is an hour away (tests/it has it, with a clock that is moved), and
    the ten minutes that a set without `Cache-Control` is fresh.
    """
    node, folder = install_node(), npm_packages()
    name, audience = "key life", "urn:api:es256"
    form = {"resource": audience}
    with contextlib.ExitStack() as stack:
        retiring, failing = (
            stack.enter_context(run.peer(f"oidc-provider {what}", [node, "oidc-provider.mjs"], folder))
            for what in ("retiring", "failing")
        )
        sets = [stack.enter_context(Cached(peer)) for peer in (retiring, failing)]
        apis = [
            stack.enter_context(run.api(f"{name} {peer.name}", peer, jwks=keys.jwks, audience=[audience]))
            for peer, keys in zip((retiring, failing), sets)
        ]

        old = [peer.token("post-client", "read", **form) for peer in (retiring, failing)]
        for api, token in zip(apis, old):
            run.checks.that(f"{name}: {api.name}: before anything happens", status(api.get("/read", token), 200))

        # A rotation, with requests by the old key all the while.
        retiring.control("rotate")
        new = retiring.token("basic-client", "read", **form)
        answers = [apis[0].get("/read", token).status for token in [new, old[0]] * 10]
        run.checks.same(f"{name}: {len(answers)} requests by both keys after the rotation", set_of(answers), [200])
        run.checks.same(f"{name}: one fetch for them", len(sets[0].answers), 2)

        # A fetch that takes its time, for a key id that nobody has: those who have their key do not wait for it.
        delay = 1.5
        retiring.control(f"fail?delay={int(delay * 1000)}")
        header, rest = dict(new.header, kid="made-up"), new.text.split(".")[1:]
        made_up = ".".join([encode(json.dumps(header).encode()), *rest])
        waited = []

        def wait():
            start = time.monotonic()
            waited.append((apis[0].get("/read", made_up).status, time.monotonic() - start))

        waiter = threading.Thread(target=wait)
        waiter.start()
        slowest, statuses = 0, []
        while waiter.is_alive():
            start = time.monotonic()
            statuses.append(apis[0].get("/read", new).status)
            slowest = max(slowest, time.monotonic() - start)
        waiter.join()
        retiring.control("fail?delay=0")
        run.checks.same(f"{name}: slow: {len(statuses)} requests by a known key", set_of(statuses), [200])
        fault = None if slowest < delay / 2 else f"the slowest took {slowest:.2f} s"
        run.checks.that(f"{name}: slow: and none of them waited", fault)
        # 401, or 503 where the machine was too busy for the fetch to come within two seconds.
        found = [] if waited and waited[0][0] in (401, 503) and waited[0][1] >= delay else [f"{waited}"]
        run.checks.that(f"{name}: slow: who has a made-up key id waits for the fetch and is refused", found)

        # One withdraws the old key, the other answers 503, until both have lived through it.
        retiring.control("retire")
        failing.control("fail?jwks=503")
        began = time.monotonic()
        refused_after, new_ones, stale_ones = None, [], []
        # The last refresh of all is due at 90 % of the minute; after a minute the other's keys are past their time.
        while time.monotonic() - began < Cached.MAX_AGE + 5:
            gone = apis[0].get("/read", old[0]).status
            if gone == 401 and refused_after is None:
                refused_after = time.monotonic() - sets[0].last_good()
                at = time.monotonic() - began
            elif refused_after is not None and gone != 401:
                run.checks.that(f"{name}: retired: it stays refused", f"{gone}")
                break
            new_ones.append(apis[0].get("/read", new).status)
            stale_ones.append(apis[1].get("/read", old[1]).status)
            time.sleep(0.25)
        run.checks.that(
            f"{name}: retired: refused within one refresh",
            None if refused_after is not None and at <= Cached.MAX_AGE * 0.9 + 2 else f"it was not: {refused_after}",
        )
        run.checks.same(f"{name}: retired: {len(new_ones)} requests by the new key", set_of(new_ones), [200])
        failed = [when for code, when in sets[1].answers if code == 503]
        run.checks.that(f"{name}: failing: a refresh was tried, again and again", None if len(failed) > 1 else f"{failed}")
        age = time.monotonic() - sets[1].last_good()
        run.checks.that(f"{name}: failing: its keys are stale", None if age > Cached.MAX_AGE else f"{age:.0f} s")
        run.checks.same(f"{name}: failing: {len(stale_ones)} requests by their keys", set_of(stale_ones), [200])
        say(f"{name}: a retired key was refused {at if refused_after is not None else -1:.1f} s after it was withdrawn")

        # A key that nobody has seen while the issuer fails is nobody's fault but ours; when it is back, all is well.
        failing.control("rotate")
        unseen = failing.token("post-client", "read", **form)
        run.checks.that(f"{name}: failing: a rotated key", status(apis[1].get("/read", unseen), 503))
        failing.control("fail?jwks=0")
        # Not before the pause after the last failure is over, or the budget for unknown keys has a fetch again.
        deadline = time.monotonic() + 65
        while (answer := apis[1].get("/read", unseen)).status == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        run.checks.that(f"{name}: the rotated key when the issuer is back", status(answer, 200))


def set_of(statuses):
    return sorted(set(statuses))


def authlib(run):
    python, folder = pip_packages()
    for kid in ("1", "0"):
        name = "authlib" if kid == "1" else "authlib without kid"
        env = {"KID": kid, "AUD": RESOURCE, "AUTHLIB_INSECURE_TRANSPORT": "1"}
        kinds = {"RS256": {}}
        # Without key ids it stands for Aidbox, whose client is in `sub` too; but its type is that of RFC 9068.
        clients = ["post-client", "basic-client"]
        issuer = {} if kid == "1" else {"profile": "aidbox", "types": ["at+jwt"], "clients": clients}
        with run.peer(name, [python, "authlib_as.py"], folder, **env) as peer:
            # It has RFC 8414's location only; a good answer of ours shows that we look there.
            found = request("GET", peer.url + "/.well-known/openid-configuration")
            run.checks.that(f"{name}: has no OpenID Connect discovery", status(found, 404))
            token = peer.token("post-client", "read")
            run.checks.same(f"{name}: the header has a kid", "kid" in token.header, kid == "1")

            # No audience in the settings: our own identifier is the default.
            with run.api(name, peer, **issuer) as api:
                core(run, name, api, peer, RESOURCE)
                bare = peer.token("post-client", "")
                open_to_all = identity(api.get("/open", bare), bare, peer.url, RESOURCE)
                run.checks.that(f"{name}: an empty scope on /open", open_to_all)
                missing = refused(api.get("/read", bare), 403, "insufficient_scope", ["read"])
                run.checks.that(f"{name}: an empty scope on /read", missing)
            with run.api(name, peer, audience=["https://other.example.com"], **issuer) as api:
                run.checks.that(f"{name}: a token for another audience", bad_token(api.get("/read", token)))
            expiry(run, f"{name} expiry", peer, kinds, **issuer)
            rotation(run, f"{name} rotation", peer, kinds, **issuer)
            # Again, now that two keys are published: both kinds of token next to each other.
            with run.api(name, peer, **issuer) as api:
                core(run, f"{name} after the rotation", api, peer, RESOURCE)
            retirement(run, f"{name} retirement", peer, kinds, **issuer)


def authlib_opaque(run):
    python, folder = pip_packages()
    env = {"AUD": RESOURCE, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    with run.peer("authlib opaque", [python, "authlib_as.py"], folder, **env) as peer:
        looked_up(
            run, peer.name, peer, RESOURCE,
            lambda scope, **form: peer.token("opaque-client", scope, kind=Opaque, **form),
            revoke=lambda token: peer.revoke("/revoke", token), introspection=RS_CLIENT,
        )  # fmt: skip


def node_oauth2_server(run):
    """wicked's paths: by introspection, and by Kong's list. It revokes nothing."""
    node, folder = install_node(), npm_packages()
    command = [node, "node-oauth2-server.mjs"]

    def path(api):
        return f"/auth/default/api/{api}/token"

    for kind in ("introspection", "kong"):
        with contextlib.ExitStack() as stack:
            peer = stack.enter_context(run.peer(f"node-oauth2-server {kind}", command, folder))

            def grant(scope, **form):
                return peer.token("cc-client", scope, path("orders"), Opaque, **form)

            # Its tokens and answers name no issuer.
            issuer, wrong = {"iss": None, "name": "wicked"}, None
            if kind == "kong":
                admin = stack.enter_context(KongAdmin(peer))
                issuer |= {"dangerous_allow_http": None, "kong": {"admin_url": admin.url}}

                @contextlib.contextmanager
                def wrong():
                    admin.secret = "wrong"
                    yield
                    admin.secret = "rs-client-secret"

            else:
                issuer["introspection"] = {"endpoint": f"{peer.url}/introspect", **RS_CLIENT}
            with run.api(f"{peer.name} APIs", peer, audience=["orders"], **issuer) as api:
                ours, theirs = grant("read"), peer.token("cc-client", "read", path("users"), Opaque)
                run.checks.that(f"{peer.name}: a token for this API", status(api.get("/read", ours), 200))
                run.checks.that(f"{peer.name}: a token for another API", bad_token(api.get("/read", theirs)))
            looked_up(run, peer.name, peer, "orders", grant, wrong=wrong, **issuer)


# --- Installing and building -----------------------------------------------------------------------------------------


def launchers():
    """A copy of the launchers to install into; the original folder stays as it is."""
    source = Path(os.environ.get("TOWER_BEARER_IDP") or PROJECT.parent / "shared" / "idp")
    if not source.is_dir():
        raise Skip("no folder with the launchers; set TOWER_BEARER_IDP")
    folder = CACHE / "idp"
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            # Without the mode: the original may be read-only.
            shutil.copyfile(file, folder / file.name)
    return folder


def installed(folder, manifest, result, runtime, commands):
    """Runs the commands unless they have made `result` from this very manifest before."""
    if not (folder / manifest).is_file():
        raise Skip(f"no {manifest} beside the launchers")
    made_from = hashlib.sha256((folder / manifest).read_bytes() + runtime.encode()).hexdigest()
    stamp = folder / result / ".made-from"
    if stamp.is_file() and stamp.read_text() == made_from:
        return
    shutil.rmtree(folder / result, ignore_errors=True)
    for command in commands:
        run_bounded(command, folder)
    (folder / result).mkdir(exist_ok=True)
    stamp.write_text(made_from)


def run_bounded(command, folder):
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=INSTALL_TIMEOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skip(f"{Path(command[0]).name}: {type(error).__name__}") from error
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines()
        # The first that speaks of an error says why; the last one often only where the log is.
        why = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no output")
        raise Skip(f"{Path(command[0]).name} failed with code {done.returncode}: {why.strip()[:200]}")
    return done.stdout


def install_node():
    node = shutil.which("node")
    if not node:
        raise Skip("no node")
    return node


def npm_packages():
    folder, npm = launchers(), shutil.which("npm")
    if not npm:
        raise Skip("no npm")
    runtime = run_bounded([install_node(), "--version"], folder)
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    installed(folder, "package.json", "node_modules", runtime, [install])
    return folder


def pip_packages():
    folder = launchers()
    python = folder / ".venv" / "bin" / "python"
    commands = [
        [sys.executable, "-m", "venv", ".venv"],
        [str(python), "-m", "pip", "install", "--quiet", "-r", "requirements.txt"],
    ]
    installed(folder, "requirements.txt", ".venv", sys.version, commands)
    return python, folder


def build():
    """Builds the example; cargo says where it is."""
    command = [os.environ.get("CARGO", "cargo"), "build", "--example", "server"]
    # Errors go to the terminal in words, and the artifacts to us.
    command += ["--message-format=json-render-diagnostics", *os.environ.get("INTEROP_CARGO_ARGS", "").split()]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT)
    if done.returncode != 0:
        raise RuntimeError(f"cargo build failed with code {done.returncode}")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        target = message.get("target", {})
        if target.get("kind") == ["example"] and target.get("name") == "server" and message.get("executable"):
            return Path(message["executable"])
    raise RuntimeError("cargo names no executable of the example")


PARTS = {
    "oidc-provider": oidc_provider,
    "oidc-provider-opaque": oidc_provider_opaque,
    "oidc-provider-keys": oidc_provider_keys,
    "oidc-provider-signed": oidc_provider_signed,
    "key-life": key_life,
    "authlib": authlib,
    "authlib-opaque": authlib_opaque,
    "node-oauth2-server": node_oauth2_server,
}


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    # So that the `with` blocks end their processes when this one is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    checks = Checks()
    CACHE.mkdir(parents=True, exist_ok=True)
    logs = Path(tempfile.mkdtemp(prefix="logs-", dir=CACHE))
    try:
        binary = build()
    except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        checks.that("build", str(error))
        names, binary = [], None
    else:
        names = names or PARTS
    run = Run(checks, binary, logs)
    for name in names:
        try:
            PARTS[name](run)
        except Skip as why:
            checks.skip(name, why)
        except Exception as error:  # a part that falls over must not take the others with it
            checks.that(f"{name} to its end", f"{type(error).__name__}: {error}")
    if checks.failed:
        say(f"logs: {os.path.relpath(logs)}")
    else:
        shutil.rmtree(logs)
    say(f"interop: {checks.passed} passed, {checks.failed} failed, {checks.skipped} skipped")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
