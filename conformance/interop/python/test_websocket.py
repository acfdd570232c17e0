"""WebSocket (SPEC §5) with the library `websockets`: the order of frames, closing, faults, plain."""

import itertools

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from wire import FORMATS, PATIENCE, WINDOW, LongPolling, Session, WebSocket

JSON, MESSAGEPACK = FORMATS
OPEN = {"open": {"attachment": 1, "window": WINDOW}}
each_format = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@pytest.fixture
def dial(server):
    """Opens a WebSocket, and says nothing on it."""
    opened = []

    def dial(*subprotocols, path="/echo", **options):
        url = server.replace("http", "ws", 1) + path
        connection = connect(url, subprotocols=list(subprotocols) or None, compression=None, max_size=None, **options)
        opened.append(connection)
        return connection.__enter__()

    yield dial
    for connection in opened:
        connection.__exit__(None, None, None)


def code_of(socket):
    """The code that the server closes with; what it says before is passed over."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=PATIENCE)
    return closed.value.rcvd and closed.value.rcvd.code


@each_format
def test_opened_comes_first_and_says_the_limits_WS_2(server, format):
    opened = Session(server, WebSocket, format).opened
    assert len(opened["token"]) == 32 and set(opened["token"]) <= set("0123456789abcdef")
    assert len(opened["session"]) == 36
    for limit in ("heartbeat", "timeout", "proof", "resume"):
        assert opened[limit] > 0
    assert opened["window"]["messages"] > 0 and opened["window"]["bytes"] > 0


@each_format
def test_ping_is_answered_before_open_16_times_WS_1(dial, format):
    socket = dial(format.name)
    for _ in range(16):
        socket.send(format.encode({"ping": 0}))
        assert format.decode(socket.recv(timeout=PATIENCE)) == {"pong": 0}
    socket.send(format.encode(OPEN))
    assert "opened" in format.decode(socket.recv(timeout=PATIENCE))


@each_format
def test_a_17th_ping_before_open_is_unexpected_WS_1(dial, format):
    socket = dial(format.name)
    for _ in range(17):
        socket.send(format.encode({"ping": 0}))
    assert code_of(socket) == 4422


@pytest.mark.parametrize(
    "frame",
    [{"text": "x"}, {"ack": 0}, {"pong": 0}, {"close": {"code": 1000, "reason": "", "received": 0}}],
    ids=lambda frame: next(iter(frame)),
)
@each_format
def test_anything_else_before_open_is_unexpected_WS_1(dial, format, frame):
    socket = dial(format.name)
    socket.send(format.encode(frame))
    assert code_of(socket) == 4422


def test_a_socket_that_says_nothing_ends_with_timeout_WS_1(dial):
    socket = dial(JSON.name)
    assert code_of(socket) == 4408


@each_format
def test_a_second_open_is_unexpected_and_the_session_stays_FRM_2(server, format):
    session = Session(server, WebSocket, format)
    session.link.send(OPEN)
    assert code_of(session.link.socket) == 4422
    session.resume(WebSocket)


@each_format
def test_frames_that_only_servers_send_are_unexpected_FRM_2(server, format):
    for frame in ({"resumed": {"received": 0}}, {"reset": "no"}, {"opened": Session(server, WebSocket, format).opened}):
        session = Session(server, WebSocket, format)
        session.link.send(frame)
        assert code_of(session.link.socket) == 4422, frame
        session.resume(WebSocket)


MALFORMED = [
    (JSON, "hello"),
    (JSON, ""),
    (JSON, "{}"),
    (JSON, '{"unheard-of":1}'),
    (JSON, '{"ack":-1}'),
    (JSON, '{"ack":9007199254740992}'),
    (JSON, '{"ack":1.5}'),
    (JSON, '{"text":"a"'),
    (JSON, "[" * 100_000),
    (JSON, b'{"text":"binary where text belongs"}'),
    (MESSAGEPACK, b""),
    (MESSAGEPACK, b"\x90"),
    (MESSAGEPACK, b"\x92\x5f\x01"),
    (MESSAGEPACK, b"\x92\x05\xa1a\xc0"),
    (MESSAGEPACK, b"\xdd\xff\xff\xff\xff"),
    (MESSAGEPACK, b"\x91" * 100_000),
    (MESSAGEPACK, b"\x92\x08\xcf\x00\x20\x00\x00\x00\x00\x00\x00"),
    (MESSAGEPACK, '{"text":"text where binary belongs"}'),
]


@pytest.mark.parametrize(
    ("format", "unit"), MALFORMED, ids=[f"{format.name.rpartition('.')[2]}-{unit[:12]!r}" for format, unit in MALFORMED]
)
def test_a_unit_that_is_no_frame_ends_the_link_and_keeps_the_session_FRM_2_WS_3(server, format, unit):
    session = Session(server, WebSocket, format)
    session.send({"text": "before"})
    session.link.socket.send(unit)
    assert code_of(session.link.socket) == 4400
    session.resume(LongPolling)
    assert session.messages(1) == [{"text": "before"}]


UNREADABLE = [
    (JSON, '{"text":1}'),
    (JSON, '{"text":"a","json":1}'),
    (JSON, '{"json":{"a":}'),
    (JSON, '{"json":}'),
    (JSON, '{"binary":"AQI"}'),
    (JSON, '{"binary":"A_I="}'),
    (MESSAGEPACK, b"\x92\x05"),
    (MESSAGEPACK, b"\x92\x05\xa2\xff\xff"),
    (MESSAGEPACK, b"\x92\x06\xc1"),
]


@pytest.mark.parametrize(("format", "unit"), UNREADABLE, ids=[repr(unit) for _, unit in UNREADABLE])
def test_a_message_whose_payload_cannot_be_read_is_counted_and_the_link_goes_on_FRM_3_JSN_2(server, format, unit):
    session = Session(server, WebSocket, format)
    session.link.socket.send(unit)
    session.send({"text": "after"})
    assert session.messages(1) == [{"text": "after"}]
    session.link.send({"ping": 1})
    assert session.frame("pong") == {"pong": 2}


def test_unknown_fields_are_ignored_FRM_1(dial):
    socket = dial(JSON.name)
    socket.send('{"open":{"attachment":1,"colour":"red","window":{"messages":9,"bytes":99999,"x":[1]}}}')
    assert "opened" in JSON.decode(socket.recv(timeout=PATIENCE))
    socket = dial(MESSAGEPACK.name)
    socket.send(b"\x95\x00\x01\x09\xcd\x27\x10\xa3red")
    assert "opened" in MESSAGEPACK.decode(socket.recv(timeout=PATIENCE))


@each_format
def test_an_attachment_must_be_a_count_from_1_TRM_1(dial, format):
    for attachment in (0, 2**53):
        socket = dial(format.name)
        socket.send(format.encode({"open": {"attachment": attachment, "window": WINDOW}}))
        assert code_of(socket) in (4400, 4422), attachment


def test_a_unit_longer_than_the_window_is_too_large_WS_4(server):
    session = Session(server, WebSocket, JSON)
    session.send({"text": "before"})
    assert session.messages(1)
    limit = session.opened["window"]["bytes"]
    with pytest.raises(ConnectionClosed):
        session.link.socket.send('{"text":"' + "x" * limit + '"}')
        while True:
            session.link.receive()
    closed = session.link.socket.protocol
    assert closed.close_rcvd and closed.close_rcvd.code == 1009
    session.resume(WebSocket)


@each_format
def test_an_ack_for_what_was_never_sent_is_unexpected_DLV_4(server, format):
    session = Session(server, WebSocket, format)
    session.send({"text": "one"})
    assert session.messages(1)
    session.link.send({"ack": 2})
    assert code_of(session.link.socket) == 4422
    session.resume(WebSocket)


@each_format
def test_an_older_ack_is_ignored_DLV_4(server, format):
    session = Session(server, WebSocket, format)
    session.send({"text": "one"}, {"text": "two"})
    assert session.messages(2)
    session.link.send({"ack": 2}, {"ack": 1}, {"ack": 0})
    session.send({"text": "three"})
    assert session.messages(1) == [{"text": "three"}]


@each_format
@pytest.mark.parametrize("code", [1000, 3000, 3999])
def test_close_is_answered_with_close_and_the_same_code_CLS_2_WS_5(server, format, code):
    session = Session(server, WebSocket, format)
    session.send({"text": "one"}, {"text": "two"})
    session.close(code)
    answer = session.frame("close", "text")
    while "text" in answer:
        answer = session.frame("close", "text")
    assert answer["close"]["received"] == 2
    assert code_of(session.link.socket) == code


@each_format
def test_a_closed_session_is_answered_with_close_again_CLS_4(server, dial, format):
    session = Session(server, WebSocket, format)
    session.close()
    assert code_of(session.link.socket) == 1000
    session.attachment = 2
    socket = dial(format.name)
    socket.send(format.encode(session.offer()))
    assert "close" in format.decode(socket.recv(timeout=PATIENCE))
    assert code_of(socket) == 1000


OFFERS = {
    "wrong token SES-4": ({"token": "0" * 32}, 4403),
    "received what was never sent SES-5": ({"received": 1, "attachment": 2}, 4422),
    "same attachment ATT-2": ({"attachment": 1}, 4409),
}


@pytest.mark.parametrize(("changed", "code"), OFFERS.values(), ids=OFFERS)
@each_format
def test_a_bad_offer_is_refused_and_the_session_goes_on(server, dial, format, changed, code):
    session = Session(server, WebSocket, format)
    socket = dial(format.name)
    socket.send(format.encode(session.offer(**({"attachment": 2} | changed))))
    assert code_of(socket) == code
    session.send({"text": "still here"})
    assert session.messages(1) == [{"text": "still here"}]


@each_format
def test_an_unknown_session_is_answered_with_reset_SES_3(server, dial, format):
    session = Session(server, WebSocket, format)
    socket = dial(format.name)
    offer = session.offer(session="00000000-0000-4000-8000-000000000000", attachment=2)
    socket.send(format.encode(offer))
    assert "reset" in format.decode(socket.recv(timeout=PATIENCE))


def test_a_session_of_another_endpoint_is_unknown_SES_3(server, dial):
    session = Session(server, WebSocket, JSON, path="/broadcast")
    socket = dial(JSON.name, path="/echo")
    session.attachment = 2
    socket.send(JSON.encode(session.offer()))
    assert "reset" in JSON.decode(socket.recv(timeout=PATIENCE))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["nosphere.v1.messagepack", "nosphere.v1.json"], "nosphere.v1.messagepack"),
        (["nosphere.v9.json", "chat", "nosphere.v1.json"], "nosphere.v1.json"),
        (["chat", "superchat"], None),
    ],
)
def test_the_first_supported_subprotocol_is_chosen_NEG_2(dial, offered, chosen):
    assert dial(*offered).subprotocol == chosen


def test_only_foreign_versions_of_nosphere_are_refused_NEG_2(dial):
    with pytest.raises(InvalidStatus) as refused:
        dial("nosphere.v9.json", "chat")
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["Nosphere-Error"] == "bad-request"


def test_a_foreign_origin_is_refused_and_the_own_is_not_SEC_2(server, dial):
    with pytest.raises(InvalidStatus) as refused:
        dial(JSON.name, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["Nosphere-Error"] == "origin"
    assert dial(JSON.name, origin=server).subprotocol == JSON.name


def test_no_such_endpoint_is_404(dial):
    with pytest.raises(InvalidStatus) as refused:
        dial(JSON.name, path="/nowhere")
    assert refused.value.response.status_code == 404


PLAIN = {
    "text": ("hello", "hello"),
    "unicode": ("ñ 漢字 🚀", "ñ 漢字 🚀"),
    "100 kB": ("€" * 33_334, "€" * 33_334),
    "white space stays in text": ("  hello \n", "  hello \n"),
    "object": (' {"a": [1, 2.50, "x y"]}\n', '{"a":[1,2.50,"x y"]}'),
    "array": ("[1, 2]", "[1,2]"),
    "a scalar is text": ("1 ", "1 "),
    "broken json is text": ('{"a": 1', '{"a": 1'),
    "64 levels are json": (" ".join("[" * 64 + "]" * 64), "[" * 64 + "]" * 64),
    "65 levels are text": (" ".join("[" * 65 + "]" * 65), " ".join("[" * 65 + "]" * 65)),
    "binary": (b"\x00\xff", b"\x00\xff"),
    "100 kB of binary": (bytes(range(256)) * 400, bytes(range(256)) * 400),
    "empty": ("", ""),
    "empty binary": (b"", b""),
}


def test_plain_messages_come_back_PLN_1_PLN_2(dial):
    socket = dial()
    for sent, _ in PLAIN.values():
        socket.send(sent)
    for name, (_, expected) in PLAIN.items():
        assert socket.recv(timeout=PATIENCE) == expected, name
    socket.close(3001, "done")
    assert socket.protocol.close_rcvd.code == 3001


def test_a_plain_message_in_fragments_is_one_message(dial):
    socket = dial()
    socket.send(itertools.chain(["he"], ["llo"] * 3))
    assert socket.recv(timeout=PATIENCE) == "hellollollo"


def test_a_websocket_ping_is_answered(dial):
    assert dial().ping("are you there").wait(PATIENCE)
