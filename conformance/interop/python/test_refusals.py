"""Every refusal of SPEC §13 by status and `Nosphere-Error`, and none of them harms the session."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest
from wire import FORMATS, LongPolling, Session

JSON = FORMATS[0]
EVIL = {"Origin": "https://evil.example"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ABSENT = object()


@pytest.fixture
def session(server):
    """A session with one message each way, which must still work when the test is over."""
    session = Session(server, LongPolling, JSON)
    session.send({"text": "before"})
    assert session.messages(1) == [{"text": "before"}]
    session.link.post(b"", base=1)  # tells that it was received
    yield session
    session.send({"text": "after"})
    assert session.messages(1) == [{"text": "after"}]


def ask(session, method, changed, query="", body=None):
    posted = {"Content-Type": JSON.media_type, "Nosphere-Base": "1"} if method == "POST" else session.link.head()
    headers = {"Nosphere-Attachment": "1"} | posted | session.link.key() | changed
    headers = {name: value for name, value in headers.items() if value is not ABSENT}
    return httpx.request(method, session.url + query, headers=headers, content=body, timeout=40)


# What is changed in a request that would be granted; the answer.
CASES = {
    "poll, wrong token SES-4": ("GET", {"Nosphere-Token": "0" * 32}, 403, "forbidden"),
    "stream, wrong token SES-4": ("GET", {"Nosphere-Token": "0" * 32, "Nosphere-Transport": "sse"}, 403, "forbidden"),
    "POST, wrong token SES-4": ("POST", {"Nosphere-Token": "0" * 32}, 403, "forbidden"),
    "poll, unknown session SES-3": ("GET", {"Nosphere-Session": UNKNOWN}, 410, "unknown-session"),
    "stream, unknown session SES-3": (
        "GET", {"Nosphere-Session": UNKNOWN, "Nosphere-Transport": "sse"}, 410, "unknown-session",
    ),
    "POST, unknown session SES-3": ("POST", {"Nosphere-Session": UNKNOWN}, 410, "unknown-session"),
    "resume, received what was never sent SES-5": (
        "GET", {"Nosphere-Received": "99", "Nosphere-Attachment": "2"}, 400, "unexpected",
    ),
    "POST, acknowledges what was never sent DLV-4": ("POST", {"Nosphere-Received": "99"}, 400, "unexpected"),
    "POST, gap PST-2": ("POST", {"Nosphere-Base": "2"}, 409, "gap"),
    "POST, attachment not the current one PST-3": ("POST", {"Nosphere-Attachment": "2"}, 409, "fenced"),
    "stream, attachment not higher ATT-2": ("GET", {"Nosphere-Transport": "sse"}, 409, "fenced"),
    "poll, from the past POL-5": ("GET", {"Nosphere-Received": "0"}, 409, "stale"),
    "POST, foreign origin SEC-2": ("POST", EVIL, 403, "origin"),
    "POST, null origin SEC-2": ("POST", {"Origin": "null"}, 403, "origin"),
    "POST, text/plain of a page SEC-2": ("POST", EVIL | {"Content-Type": "text/plain"}, 403, "origin"),
    "POST, no wire format": ("POST", {"Content-Type": "application/vnd.nosphere.v9.json"}, 415, "content-type"),
    "POST, xml": ("POST", {"Content-Type": "application/xml"}, 415, "content-type"),
    "poll, another protocol in the run POL-6": ("GET", {"Nosphere-Protocol": FORMATS[1].name}, 400, "bad-request"),
    "PUT": ("PUT", {}, 405, "method"),
    "DELETE": ("DELETE", {}, 405, "method"),
    "PATCH": ("PATCH", {}, 405, "method"),
    "poll, no token": ("GET", {"Nosphere-Token": ABSENT}, 400, "bad-request"),
    "poll, no session": ("GET", {"Nosphere-Session": ABSENT}, 400, "bad-request"),
    "poll, no attachment": ("GET", {"Nosphere-Attachment": ABSENT}, 400, "bad-request"),
    "poll, no received": ("GET", {"Nosphere-Received": ABSENT}, 400, "bad-request"),
    "POST, no token": ("POST", {"Nosphere-Token": ABSENT}, 400, "bad-request"),
    "POST, no session": ("POST", {"Nosphere-Session": ABSENT}, 400, "bad-request"),
    "POST, no attachment": ("POST", {"Nosphere-Attachment": ABSENT}, 400, "bad-request"),
    "POST, no base": ("POST", {"Nosphere-Base": ABSENT}, 400, "bad-request"),
    "POST, no received": ("POST", {"Nosphere-Received": ABSENT}, 400, "bad-request"),
} | {
    f"{name}: {value or 'empty'} NEG-3": ("GET", {f"Nosphere-{name}": value}, 400, "bad-request")
    for name, values in {
        "Protocol": ["json", "nosphere.v9.json", ""],
        "Transport": ["pigeon", "", "SSE, sse"],
        "Session": ["1", "24f98d6b", "", "24f98d6b-c271-4169-8f9c-217343b62aaz"],
        "Token": ["", "00", "0" * 33, "g" * 32],
        "Attachment": ["0", "-1", "+1", "1.0", "one", "9007199254740992", "99999999999999999999999"],
        "Received": ["-1", "1e3", "0x1", "9007199254740992", "1 1"],
        "Window": ["1", "0/1", "1/0", "/", "-1/5", "1/2/3"],
        "Base": ["-1", "x"],
    }.items()
    for value in values
}  # fmt: skip


@pytest.mark.parametrize(("method", "changed", "status", "error"), CASES.values(), ids=CASES)
def test_is_refused(session, method, changed, status, error):
    answer = ask(session, method, changed)
    assert (answer.status_code, answer.headers.get("Nosphere-Error")) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store", "NEG-4"
    assert answer.text and "\n" not in answer.text, "the body is one line for people"
    if status == 405:
        assert {"GET", "POST"} <= set(answer.headers["Allow"].replace(" ", "").split(","))
    if error in ("fenced", "gap", "stale", "unexpected"):
        assert answer.headers["Nosphere-Received"] == "1", "every answer about a known session has it"


def test_the_token_is_not_taken_from_a_url_NEG_1(session):
    answer = ask(session, "GET", {"Nosphere-Token": ABSENT}, query=f"?nosphere-token={session.token}")
    assert (answer.status_code, answer.headers["Nosphere-Error"]) == (400, "bad-request")


def test_no_such_endpoint_is_404(server):
    for path in ("/nowhere", "/echo/below", "/", "/Echo"):
        answer = httpx.get(server + path, headers={"Nosphere-Protocol": JSON.name, "Nosphere-Attachment": "1"})
        assert (answer.status_code, answer.headers.get("Nosphere-Error")) == (404, None), path


def test_what_shows_no_sign_of_the_protocol_is_not_the_endpoint_s_business(server):
    for method, headers in (("GET", {}), ("GET", {"Accept": "text/html"}), ("POST", {"Content-Type": "text/plain"})):
        assert httpx.request(method, f"{server}/echo", headers=headers).status_code == 404, (method, headers)


def test_a_session_belongs_to_its_endpoint_SES_3(server):
    session = Session(server, LongPolling, JSON)
    session.url = f"{server}/broadcast"
    for method in ("GET", "POST"):
        answer = ask(session, method, {})
        assert (answer.status_code, answer.headers["Nosphere-Error"]) == (410, "unknown-session")


HANDSHAKES = {
    "another version": ({"Sec-WebSocket-Version": "12"}, 426, None),
    "no version": ({"Sec-WebSocket-Version": ABSENT}, (400, 426), None),
    "no key": ({"Sec-WebSocket-Key": ABSENT}, 400, "bad-request"),
    "a key of the wrong length": ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "bad-request"),
    "foreign origin SEC-2": (EVIL, 403, "origin"),
    "only unknown versions of nosphere NEG-2": ({"Sec-WebSocket-Protocol": "nosphere.v9.json"}, 400, "bad-request"),
}


@pytest.mark.parametrize(("changed", "status", "error"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_handshake_is_refused(server, changed, status, error):
    headers = {name: value for name, value in (UPGRADE | changed).items() if value is not ABSENT}
    answer = httpx.get(f"{server}/echo", headers=headers)
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text
    assert answer.headers.get("Cache-Control") == "no-store", "NEG-4"
    if answer.status_code == 426:
        assert answer.headers["Sec-WebSocket-Version"] == "13"
    else:
        assert answer.headers.get("Nosphere-Error") == error, answer.text


def test_a_post_of_the_own_origin_is_granted_SEC_2(session):
    assert ask(session, "POST", {"Origin": session.url.removesuffix("/echo")}).status_code == 204


def test_a_body_that_ends_early_is_not_applied_PST_1(server, session):
    key = session.link.key() | {"Nosphere-Attachment": "1", "Nosphere-Base": "1", "Content-Type": JSON.media_type}
    head = "".join(f"{name}: {value}\r\n" for name, value in key.items())
    address = urlsplit(server)
    with socket.create_connection((address.hostname, address.port)) as raw:
        raw.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n{head}\r\n".encode() + b'{"text":"half"}\n')
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            pass
