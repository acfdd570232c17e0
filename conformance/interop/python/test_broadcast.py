"""Clients of different libraries, transports, protocols and formats in one room."""

import json

import httpx
import pytest
from test_http import PlainPolling, PlainStream, key_of
from websockets.sync.client import connect
from wire import FORMATS, LINKS, PATIENCE, EventStream, LongPolling, Session, WebSocket

JSON, MESSAGEPACK = FORMATS


def test_everyone_gets_everything_in_the_same_order(server):
    """DESIGN §5.9: a JSON WebSocket, a MessagePack long-poll, a plain EventSource, and all others there are."""
    room = f"{server}/broadcast"
    native = [Session(server, link, format, path="/broadcast") for link in LINKS for format in FORMATS]
    stream = PlainStream(room)
    stream_key = key_of(next(stream.events))
    polling = PlainPolling(server, path="/broadcast")
    with connect(room.replace("http", "ws", 1)) as socket:
        for round in range(5):
            for number, session in enumerate(native):
                session.send({"json": {"from": number, "round": round}})
            httpx.post(room, content=f'{{"from":"stream","round":{round}}}', headers=stream_key)
            polling.post(f'{{"from":"polling","round":{round}}}')
            socket.send(f'{{"from":"socket","round":{round}}}')
        total = 5 * (len(native) + 3)
        heard = [[frame["json"] for frame in session.messages(total)] for session in native]
        heard.append([json.loads(next(stream.events).data) for _ in range(total)])
        heard.append([json.loads(polling.poll()[1]) for _ in range(total)])
        heard.append([json.loads(socket.recv(timeout=PATIENCE)) for _ in range(total)])
    stream.close()
    for other in heard[1:]:
        assert other == heard[0], "all members hear the same in the same order"
    for sender in [*range(len(native)), "stream", "polling", "socket"]:
        assert [line["round"] for line in heard[0] if line["from"] == sender] == list(range(5)), sender


@pytest.mark.parametrize("kind", ["text", "json", "binary"])
def test_each_kind_arrives_in_each_format(server, kind):
    sent = {"text": {"text": "ñ 🚀"}, "json": {"json": {"a": [1, None]}}, "binary": {"binary": b"\x00\xff"}}[kind]
    websocket = Session(server, WebSocket, JSON, path="/broadcast")
    polling = Session(server, LongPolling, MESSAGEPACK, path="/broadcast")
    stream = PlainStream(f"{server}/broadcast")
    next(stream.events)
    for sender in (websocket, polling):
        sender.send(sent)
        assert websocket.messages(1) == polling.messages(1) == [sent]
        event = next(stream.events)
        expected = {"text": ("message", "ñ 🚀"), "json": ("message", '{"a":[1,null]}'), "binary": ("binary", "AP8=")}
        assert (event.event, event.data) == expected[kind]
    stream.close()


def test_who_is_away_for_a_while_misses_nothing(server):
    away = Session(server, WebSocket, JSON, path="/broadcast")
    here = Session(server, EventStream, MESSAGEPACK, path="/broadcast")
    here.send({"text": "one"})
    assert away.messages(1) == here.messages(1)
    away.link.drop()
    here.send(*({"text": str(number)} for number in range(50)))
    assert len(here.messages(50)) == 50
    away.resume(LongPolling, MESSAGEPACK)
    assert away.messages(50) == [{"text": str(number)} for number in range(50)]
