"""nosphere.v1 as SPEC.md has it: frames, batches and carriers. Sockets and parsers are those of published libraries.

A frame is a dict with one member, as in the format `json`: {"text": "hello"}, {"ack": 17}; binary payloads are bytes.
Requests and replies hold their message: {"request": {"id": 5, "text": "what?"}}.
"""

import base64
import contextlib
import json
import socket
import struct

import httpx
import httpx_sse
import msgpack
from websockets.sync.client import connect

PATIENCE = 15  # seconds until something that should come counts as lost
WINDOW = {"messages": 256, "bytes": 1 << 20}
PAYLOADS = ("text", "json", "binary")
EXCHANGES = ("request", "reply")
MESSAGES = PAYLOADS + EXCHANGES


class Json:
    name = "nosphere.v1.json"
    media_type = "application/vnd.nosphere.v1.json"

    def encode(self, frame):
        return json.dumps(self.members(frame), ensure_ascii=False)

    def members(self, frame):
        ((kind, value),) = frame.items()
        if kind in EXCHANGES:
            number, message = split_exchange(value)
            return {kind: number} | self.members(message)
        return {"binary": base64.b64encode(value).decode()} if kind == "binary" else frame

    def decode(self, unit):
        assert isinstance(unit, str), "JSN-1: units of `json` are text"
        assert "\n" not in unit and "\r" not in unit, "JSN-1: a unit fits one line"
        frame = json.loads(unit)
        kind = next(iter(frame))
        if "binary" in frame:
            frame["binary"] = base64.b64decode(frame["binary"], validate=True)
        if kind in EXCHANGES:
            number = frame.pop(kind)
            frame = {kind: {"id": number} | frame}
            assert len(frame[kind]) == 2, "a request has two members"
        assert len(frame) == 1
        return frame

    def batch(self, frames):
        return "\n".join(map(self.encode, frames)).encode()

    def unbatch(self, body):
        return [self.decode(unit) for unit in body.decode().removesuffix("\n").split("\n")] if body else []

    def from_event(self, data):
        return self.decode(data)


class MessagePack:
    name = "nosphere.v1.messagepack"
    media_type = "application/vnd.nosphere.v1.messagepack"
    kinds = ["open", "opened", "resume", "resumed", "reset", "text", "json", "binary", "ack", "ping", "pong", "close"]
    kinds += EXCHANGES
    fields = {
        "open": ["attachment", "messages", "bytes"],
        "opened": ["session", "token", "heartbeat", "timeout", "proof", "resume", "messages", "bytes"],
        "resume": ["session", "token", "attachment", "received"],
        "resumed": ["received"],
        "close": ["code", "reason", "received"],
    }

    def encode(self, frame):
        return msgpack.packb(self.elements(frame))

    def elements(self, frame):
        ((kind, value),) = frame.items()
        values = [value]
        if kind in EXCHANGES:
            number, message = split_exchange(value)
            values = [number, *self.elements(message)]
        if kind in self.fields:
            flat = {**value, **value.get("window", {})}
            values = [flat[field] for field in self.fields[kind]]
        if kind in ("opened", "resume"):
            values[:2] = [bytes.fromhex(text.replace("-", "")) for text in values[:2]]
        return [self.kinds.index(kind), *values]

    def decode(self, unit):
        assert isinstance(unit, bytes), "units of `messagepack` are binary"
        number, *values = msgpack.unpackb(unit)
        kind = self.kinds[number]
        if kind in EXCHANGES:
            (number, inner, value) = values
            return {kind: {"id": number, self.kinds[inner]: value}}
        if kind not in self.fields:
            (value,) = values
            return {kind: value}
        value = dict(zip(self.fields[kind], values, strict=True))
        if "session" in value:
            hexed = value["session"].hex()
            value["session"] = "-".join([hexed[:8], hexed[8:12], hexed[12:16], hexed[16:20], hexed[20:]])
            value["token"] = value["token"].hex()
        if "messages" in value:
            value["window"] = {"messages": value.pop("messages"), "bytes": value.pop("bytes")}
        return {kind: value}

    def batch(self, frames):
        return b"".join(struct.pack(">I", len(unit)) + unit for unit in map(self.encode, frames))

    def unbatch(self, body):
        frames = []
        while body:
            (length,) = struct.unpack_from(">I", body)
            assert len(body) >= 4 + length, "BAT-2: a length that goes beyond the body"
            frames.append(self.decode(body[4 : 4 + length]))
            body = body[4 + length :]
        return frames

    def from_event(self, data):
        return self.decode(base64.b64decode(data, validate=True))


FORMATS = (Json(), MessagePack())


class Refused(Exception):
    def __init__(self, response):
        self.status = response.status_code
        self.name = response.headers.get("Nosphere-Error")
        self.received = response.headers.get("Nosphere-Received")
        super().__init__(f"{self.status} {self.name}: {response.text}")


class WebSocket:
    """A link over the library `websockets`."""

    def __init__(self, session, first):
        url = session.url.replace("http", "ws", 1)
        self.format = session.format
        self.stack = contextlib.ExitStack()
        connection = connect(url, subprotocols=[self.format.name], compression=None, max_size=None)
        self.socket = self.stack.enter_context(connection)
        assert self.socket.subprotocol == self.format.name, "NEG-2"
        self.send(first)
        self.first = self.receive()

    def send(self, *frames):
        for frame in frames:
            self.socket.send(self.format.encode(frame))

    def receive(self):
        return self.format.decode(self.socket.recv(timeout=PATIENCE))

    def drop(self):
        """Cuts the TCP connection without a word."""
        with contextlib.suppress(OSError):  # the server may have been faster
            self.socket.socket.shutdown(socket.SHUT_RDWR)
        self.stack.close()


class Http:
    """What links over `httpx` share: the POST."""

    def __init__(self, session, first):
        self.session, self.format = session, session.format
        self.http = httpx.Client(timeout=httpx.Timeout(PATIENCE, read=40))
        self.attachment = session.attachment
        ((kind, offer),) = first.items()
        opening = {"Nosphere-Window": "{messages}/{bytes}".format(**offer["window"])} if kind == "open" else self.key()
        self.begin(opening)

    def key(self):
        session = self.session
        return {
            "Nosphere-Session": session.id,
            "Nosphere-Token": session.token,
            "Nosphere-Received": str(session.received),
        }

    def head(self):
        return {"Nosphere-Protocol": self.format.name, "Nosphere-Attachment": str(self.attachment)}

    def send(self, *frames):
        messages = sum(kind_of(frame) in MESSAGES for frame in frames)
        return self.post(self.format.batch(frames), base=len(self.session.sent) - messages)

    def post(self, body, base, **headers):
        headers = {
            "Content-Type": self.format.media_type,
            "Nosphere-Attachment": str(self.attachment),
            "Nosphere-Base": str(base),
        } | self.key() | headers
        response = self.http.post(self.session.url, content=body, headers=headers)
        if response.status_code != 204:
            raise Refused(response)
        assert response.headers["Cache-Control"] == "no-store", "NEG-4"
        return int(response.headers["Nosphere-Received"])

    def drop(self):
        self.http.close()


class LongPolling(Http):
    """A run of polls."""

    def begin(self, headers):
        self.waiting = []
        (self.first, *self.waiting) = self.poll(headers)

    def poll(self, headers=None):
        headers = self.head() | (headers or self.key())
        response = self.http.get(self.session.url, headers=headers)
        if response.status_code != 200:
            raise Refused(response)
        assert response.headers["Content-Type"] == self.format.media_type
        assert "no-store" in response.headers["Cache-Control"], "NEG-4"
        return self.format.unbatch(response.content)

    def receive(self):
        while not self.waiting:
            self.waiting = self.poll()
        return self.waiting.pop(0)


class EventStream(Http):
    """A stream that `httpx-sse` parses."""

    def begin(self, headers):
        self.stack = contextlib.ExitStack()
        headers = self.head() | headers
        source = httpx_sse.connect_sse(self.http, "GET", self.session.url, headers=headers)
        source = self.stack.enter_context(source)
        if source.response.status_code != 200:
            source.response.read()
            raise Refused(source.response)
        assert "no-store" in source.response.headers["Cache-Control"], "NEG-4"
        self.events, self.id = source.iter_sse(), self.session.received
        self.first = self.receive()

    def receive(self):
        event = next(self.events)
        frame = self.format.from_event(event.data)
        if kind_of(frame) in MESSAGES:
            self.id += 1
            assert event.id == str(self.id), "SSE-2"
        return frame

    def drop(self):
        with contextlib.suppress(httpx.HTTPError):
            self.stack.close()
        super().drop()


LINKS = (WebSocket, EventStream, LongPolling)


class Session:
    """A client that counts, and can go on over any link."""

    def __init__(self, server, link, format, path="/echo", window=WINDOW):
        self.url, self.format = server + path, format
        self.attachment, self.received, self.sent = 1, 0, []
        self.link = link(self, {"open": {"attachment": 1, "window": window}})
        self.opened = self.link.first["opened"]
        self.id, self.token = self.opened["session"], self.opened["token"]
        if link is WebSocket:
            self.link.send({"ack": 0})

    def offer(self, **changed):
        offer = {"session": self.id, "token": self.token, "attachment": self.attachment, "received": self.received}
        return {"resume": offer | changed}

    def resume(self, link, format=None):
        """Drops the link, and goes on over another: what the server has not taken is sent again (DLV-6)."""
        self.link.drop()
        self.format = format or self.format
        self.attachment += 1
        self.link = link(self, self.offer())
        taken = self.link.first["resumed"]["received"]
        assert taken <= len(self.sent)
        rest = self.sent[taken:]
        if rest:
            self.link.send(*rest)

    def send(self, *frames):
        self.sent += [frame for frame in frames if kind_of(frame) in MESSAGES]
        return self.link.send(*frames)

    def frame(self, *kinds):
        """The next frame that is one of `kinds`; it may not come behind a message that is not."""
        while True:
            frame = self.link.receive()
            kind = kind_of(frame)
            self.received += kind in MESSAGES
            if kind in kinds:
                return frame
            assert kind not in MESSAGES, f"{frame} where {kinds} was expected"

    def messages(self, count):
        return [self.frame(*MESSAGES) for _ in range(count)]

    def close(self, code=1000):
        self.link.send({"close": {"code": code, "reason": "done", "received": self.received}})


def kind_of(frame):
    (kind,) = frame
    return kind


def split_exchange(body):
    """The number of a request or a reply, and its message."""
    message = {kind: value for kind, value in body.items() if kind != "id"}
    return body["id"], message
