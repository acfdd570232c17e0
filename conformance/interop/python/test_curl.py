"""What a person with curl sees, on HTTP/1.1 and HTTP/2."""

import re
import shutil
import subprocess
import time

import pytest
from wire import FORMATS, PATIENCE

CURL = shutil.which("curl") or pytest.exit("curl is missing: apt-get install curl", 1)
versions = pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
each_format = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


def curl(*arguments, body=None):
    """Status, headers in lower case, body."""
    command = [CURL, "--silent", "--show-error", "--include", "--max-time", "40", *arguments]
    if body is not None:
        command += ["--data-binary", "@-"]
    out = subprocess.run(command, input=body or b"", capture_output=True, check=True).stdout
    head, _, rest = out.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {line.split(": ")[0].lower(): line.split(": ", 1)[1] for line in lines}, rest


def header(name, value):
    return ["-H", f"{name}: {value}"]


def key_of(headers):
    return header("Nosphere-Session", headers["nosphere-session"]) + header("Nosphere-Token", headers["nosphere-token"])


class Stream:
    """`curl -N`, read until what is looked for has come."""

    def __init__(self, *arguments):
        command = [CURL, "--silent", "--show-error", "--no-buffer", "--max-time", "40", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.read = ""

    def until(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.read, re.MULTILINE)):
            line = self.process.stdout.readline().decode()
            assert line and time.monotonic() < deadline, f"{pattern!r} is not in {self.read!r}"
            self.read += line
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@versions
def test_plain_event_stream_and_post_PLN_3_PLN_7(server, version):
    stream = Stream(version, "-H", "Accept: text/event-stream", f"{server}/echo")
    session, token = stream.until(r"^data: ([0-9a-f-]{36})\.([0-9a-f]{32})$").groups()
    key = header("Nosphere-Session", session) + header("Nosphere-Token", token)
    for body, line in ((b"hello", "hello"), (b'{"a": 1}', '{"a":1}'), (b"two\nlines", "two\ndata: lines")):
        # By itself, curl says application/x-www-form-urlencoded, which is no kind of message.
        status, headers, _ = curl(version, *key, "-H", "Content-Type: text/plain", f"{server}/echo", body=body)
        assert status == 204 and headers["cache-control"] == "no-store"
        stream.until(f"^data: {re.escape(line)}\n(?:.+\n)*\n")
    stream.until(rf"^id: {session}\.{token}\.3$")
    stream.close()


@versions
def test_a_refusal_reaches_a_client_whose_body_was_not_read_PST_5(server, version):
    unknown = key_of({"nosphere-session": "00000000-0000-4000-8000-000000000000", "nosphere-token": "0" * 32})
    for body in [b"hello"] * 10 + [bytes(1 << 20)] * 3:
        status, headers, _ = curl(version, *unknown, "-H", "Content-Type: application/xml", f"{server}/echo", body=body)
        assert (status, headers["nosphere-error"]) == (415, "content-type")
        status, headers, _ = curl(version, *unknown, "-H", "Content-Type: text/plain", f"{server}/echo", body=body)
        assert (status, headers["nosphere-error"]) == (410, "unknown-session")


@versions
def test_plain_polls_PLN_6(server, version):
    poll = [version, "-H", "Nosphere-Transport: long-polling"]
    status, headers, body = curl(*poll, f"{server}/echo")
    assert (status, body) == (204, b"")
    key = key_of(headers)
    curl(version, *key, "-H", "Content-Type: application/octet-stream", f"{server}/echo", body=bytes(range(256)))
    status, headers, body = curl(*poll, *key, "-H", "Nosphere-Received: 0", f"{server}/echo")
    assert (status, headers["content-type"], body) == (200, "application/octet-stream", bytes(range(256)))
    assert headers["nosphere-count"] == "1"


@versions
@each_format
def test_native_polls_and_posts(server, version, format):
    get = [version, *header("Nosphere-Protocol", format.name), *header("Nosphere-Attachment", 1)]
    status, _, body = curl(*get, f"{server}/echo")
    assert status == 200
    ((opened),) = format.unbatch(body)
    key = header("Nosphere-Session", opened["opened"]["session"]) + header("Nosphere-Token", opened["opened"]["token"])
    frames = [{"text": "ñ 🚀"}, {"json": {"a": [1, None]}}, {"binary": b"\x00\xff"}, {"text": "€" * 33_334}]
    post = [version, *key, *header("Content-Type", format.media_type), *header("Nosphere-Attachment", 1)]
    post += header("Nosphere-Received", 0) + header("Nosphere-Base", 0)
    for _ in range(2):  # the second is a repetition, and changes nothing (PST-2)
        status, headers, _ = curl(*post, f"{server}/echo", body=format.batch(frames))
        assert status == 204 and int(headers["nosphere-received"]) <= 4
    got = []
    while len(got) < 4:
        status, _, body = curl(*get, *key, *header("Nosphere-Received", len(got)), f"{server}/echo")
        assert status == 200
        got += format.unbatch(body)
    assert got == frames


@versions
@each_format
def test_native_event_stream_SSE_2(server, version, format):
    opening = [*header("Nosphere-Protocol", format.name), *header("Nosphere-Attachment", 1)]
    stream = Stream(version, "-H", "Accept: text/event-stream", *opening, f"{server}/echo")
    opened = format.from_event(stream.until(r"^data: (.+)$")[1])["opened"]
    key = header("Nosphere-Session", opened["session"]) + header("Nosphere-Token", opened["token"])
    post = [version, *key, *header("Content-Type", format.media_type), *header("Nosphere-Attachment", 1)]
    post += header("Nosphere-Received", 0) + header("Nosphere-Base", 0)
    frames = [{"text": "hello"}, {"binary": b"\x00\xff"}]
    assert curl(*post, f"{server}/echo", body=format.batch(frames))[0] == 204
    for number, frame in enumerate(frames, 1):
        event = stream.until(rf"^(?:id: {number}\ndata: (.+)|data: (.+)\nid: {number})\n\n")
        assert format.from_event(event[1] or event[2]) == frame
    stream.close()


def test_an_upgrade_by_curl_is_answered_101(server):
    handshake = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
    handshake += ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "--http1.1", "--max-time", "1"]
    out = subprocess.run([CURL, "-s", "-i", "-N", *handshake, f"{server}/echo"], capture_output=True).stdout.decode()
    assert out.startswith("HTTP/1.1 101 ")
    assert re.search(r"(?i:sec-websocket-accept): s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n", out)


@versions
def test_errors_are_told_in_a_line(server, version):
    assert curl(version, f"{server}/nowhere")[0] == 404
    status, headers, _ = curl(version, "-X", "DELETE", "-H", "Nosphere-Attachment: 1", f"{server}/echo")
    assert (status, headers["nosphere-error"]) == (405, "method") and "POST" in headers["allow"]
    status, headers, body = curl(version, "-H", "Nosphere-Protocol: nosphere.v9.json", f"{server}/echo")
    assert (status, headers["nosphere-error"]) == (400, "bad-request") and body
