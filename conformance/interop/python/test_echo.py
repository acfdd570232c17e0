"""Every message comes back as it was, over every transport, in every format."""

import pytest
from wire import FORMATS, LINKS, Session

MESSAGES = {
    "text": {"text": "hello"},
    "empty text": {"text": ""},
    "unicode": {"text": 'ñ 漢字 🚀 \u2028 \u0000 "\\ \r\n end'},
    "text that looks like a frame": {"text": '{"close":{"code":1000,"reason":"","received":0}}'},
    "100 kB of text": {"text": "€" * 33_334},
    "json object": {"json": {"author": "joe", "message": "hi\n", "nested": [{"a": [1, -2.5, 1e300, True, None]}]}},
    "json scalar": {"json": None},
    "json integers at the limit": {"json": [2**64 - 1, -(2**63), 2**53 + 1, 0]},
    "json of 64 levels": {"json": eval("[" * 64 + "]" * 64)},
    "100 kB of json": {"json": list(range(20_000))},
    "binary": {"binary": bytes(range(256))},
    "empty binary": {"binary": b""},
    "100 kB of binary": {"binary": bytes(range(256)) * 400},
}


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_messages_come_back_unchanged_and_in_order(server, link, format):
    session = Session(server, link, format)
    session.send(*MESSAGES.values())
    echoes = session.messages(len(MESSAGES))
    for name, sent, got in zip(MESSAGES, MESSAGES.values(), echoes, strict=True):
        assert got == sent, name
    session.close()


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_requests_are_answered_with_their_ids_and_what_they_hold_REQ_1(server, link, format):
    session = Session(server, link, format)
    asked = {0: MESSAGES["json object"], 2**53 - 1: MESSAGES["unicode"], 300: MESSAGES["binary"]}
    session.send({"reply": {"id": 9, "text": "to nothing"}})
    session.send(*({"request": {"id": number} | message} for number, message in asked.items()))
    session.send({"text": "last"})
    replies = [{"reply": {"id": number} | message} for number, message in asked.items()]
    assert session.messages(4) == [*replies, {"text": "last"}]
    session.close()


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_ping_is_answered_with_the_count_of_messages_taken_HB_2(server, link, format):
    session = Session(server, link, format)
    session.send({"text": "one"}, {"text": "two"})
    assert len(session.messages(2)) == 2
    session.link.send({"ping": 2})
    assert session.frame("pong") == {"pong": 2}


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_no_more_messages_come_than_the_client_s_window_DLV_2(server, link):
    session = Session(server, link, FORMATS[0], window={"messages": 2, "bytes": 1000})
    session.send(*({"text": str(number)} for number in range(5)))
    assert session.messages(2) == [{"text": "0"}, {"text": "1"}]
    # The pong would stand behind whatever was sent beyond the window.
    if link is LINKS[0]:
        session.link.send({"ping": 0})
        assert session.frame("pong")
        session.link.send({"ack": 2})
    elif link is LINKS[1]:
        session.link.post(b"", base=5)
    assert session.messages(2) == [{"text": "2"}, {"text": "3"}]
    session.link.send({"ack": 4})
    assert session.messages(1) == [{"text": "4"}]


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_half_a_window_is_acknowledged_and_not_each_message_DLV_3(server, format):
    session = Session(server, LINKS[0], format, window={"messages": 10_000, "bytes": 1 << 20})
    window = session.opened["window"]["messages"]
    session.send(*({"text": "x"} for _ in range(window)))
    acks, messages = [], 0
    while messages < window or not acks:
        frame = session.link.receive()
        acks += [frame["ack"]] if "ack" in frame else []
        messages += "text" in frame
    assert acks[0] >= window // 2 and len(acks) <= 2, acks


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_a_payload_error_is_one_counted_message_and_the_others_pass_FRM_3(server, link):
    session = Session(server, link, FORMATS[0])
    deep = {"json": eval("[" * 65 + "]" * 65)}
    session.send({"text": "before"}, deep, {"text": "after"})
    assert session.messages(2) == [{"text": "before"}, {"text": "after"}]
    session.link.send({"ping": 2})
    assert session.frame("pong") == {"pong": 3}


def test_a_payload_error_is_counted_in_messagepack_too_MSP_2(server):
    session = Session(server, LINKS[0], FORMATS[1])
    session.send({"json": {"key": b"bin"}}, {"json": float("nan")}, {"json": {1: 2}}, {"text": "after"})
    assert session.messages(1) == [{"text": "after"}]
    session.link.send({"ping": 1})
    assert session.frame("pong") == {"pong": 4}
