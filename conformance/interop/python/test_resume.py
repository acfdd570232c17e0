"""One session over any sequence of links: nothing lost, nothing doubled, in either direction."""

import itertools

import pytest
from websockets.exceptions import ConnectionClosed
from wire import FORMATS, LINKS, EventStream, LongPolling, Refused, Session, WebSocket

WAYS = list(itertools.product(LINKS, FORMATS))


def name(way):
    link, format = way
    return f"{link.__name__}-{format.name.rpartition('.')[2]}"


@pytest.mark.parametrize("to", WAYS, ids=name)
@pytest.mark.parametrize("start", WAYS, ids=name)
def test_a_session_goes_on_over_another_link_DLV_6(server, start, to):
    session = Session(server, *start)
    session.send(*({"text": f"first {number}"} for number in range(10)))
    assert session.messages(4) == [{"text": f"first {number}"} for number in range(4)]
    # Six echoes are on their way, or not even made yet.
    session.resume(*to)
    session.send(*({"binary": b"%d" % number} for number in range(10)))
    echoes = session.messages(16)
    assert echoes[:6] == [{"text": f"first {number}"} for number in range(4, 10)]
    assert echoes[6:] == [{"binary": b"%d" % number} for number in range(10)]
    assert session.received == len(session.sent) == 20
    session.close()


def test_a_session_survives_a_walk_over_all_links_and_formats(server):
    session = Session(server, *WAYS[0])
    for number, way in enumerate(WAYS[1:] + WAYS[::-1] + WAYS):
        session.send({"text": f"a{number}"}, {"json": [number]}, {"binary": b"x"})
        session.resume(*way)
        assert session.messages(3) == [{"text": f"a{number}"}, {"json": [number]}, {"binary": b"x"}]
    session.send({"text": "last"})
    assert session.messages(1) == [{"text": "last"}]


def test_requests_and_replies_go_on_over_other_links_REQ_1_DLV_6(server):
    session = Session(server, *WAYS[0])
    for number, way in enumerate(WAYS[1:] + WAYS[:1]):
        session.send({"request": {"id": number, "text": "what?"}})
        session.resume(*way)
        assert session.messages(1) == [{"reply": {"id": number, "text": "what?"}}]
    session.send({"request": {"id": 7, "text": "a?"}}, {"request": {"id": 3, "json": ["b?"]}})
    replies = [{"reply": {"id": 7, "text": "a?"}}, {"reply": {"id": 3, "json": ["b?"]}}]
    assert session.messages(2) == replies
    session.received -= 2  # as if the network had lost both
    session.resume(EventStream)
    assert session.messages(2) == replies


def test_what_the_client_lost_before_it_read_it_comes_again_DLV_6(server):
    session = Session(server, WebSocket, FORMATS[0])
    session.send({"text": "one"}, {"text": "two"})
    assert session.messages(2)
    session.received = 0  # as if the network had lost both
    for link in (EventStream, LongPolling, WebSocket):
        session.resume(link)
        assert session.messages(2) == [{"text": "one"}, {"text": "two"}]
        session.received = 0


def test_what_the_server_already_took_is_not_taken_twice_PST_2(server):
    session = Session(server, LongPolling, FORMATS[0])
    body = FORMATS[0].batch([{"text": "one"}, {"text": "two"}])
    for _ in range(3):
        session.link.post(body, base=0)
    session.link.post(FORMATS[0].batch([{"text": "two"}, {"text": "three"}]), base=1)
    assert session.messages(3) == [{"text": "one"}, {"text": "two"}, {"text": "three"}]
    session.sent = [None] * 3
    session.send({"text": "end"})
    assert session.messages(1) == [{"text": "end"}]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_a_newer_attachment_fences_the_older_websocket_ATT_3(server, link):
    session = Session(server, WebSocket, FORMATS[0])
    session.send({"text": "one"})
    assert session.messages(1)
    old, session.attachment = session.link, 2
    session.link = link(session, session.offer())
    assert session.link.first == {"resumed": {"received": 1}}
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            old.receive()
    assert closed.value.rcvd.code == 4409
    session.send({"text": "two"})
    assert session.messages(1) == [{"text": "two"}]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_a_newer_attachment_ends_the_older_event_stream_ATT_3(server, link):
    session = Session(server, EventStream, FORMATS[1])
    old, session.attachment = session.link, 2
    session.link = link(session, session.offer())
    with pytest.raises(StopIteration):
        while True:
            old.receive()
    with pytest.raises(Refused) as refused:
        old.post(old.format.batch([{"text": "late"}]), base=0)
    assert (refused.value.status, refused.value.name) == (409, "fenced")
    session.send({"text": "one"})
    assert session.messages(1) == [{"text": "one"}]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_a_newer_attachment_refuses_the_polls_and_posts_of_an_older_run_ATT_3(server, link):
    session = Session(server, LongPolling, FORMATS[0])
    old, session.attachment = session.link, 2
    session.link = link(session, session.offer())
    for late in (old.poll, lambda: old.post(b'{"text":"late"}', base=0)):
        with pytest.raises(Refused) as refused:
            late()
        assert (refused.value.status, refused.value.name) == (409, "fenced")
    session.send({"text": "one"})
    assert session.messages(1) == [{"text": "one"}]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_messages_that_nobody_read_are_kept_for_a_closed_socket(server, link):
    """The client goes away in the middle of 200 messages of 1 kB each; all of them come over the next link."""
    session = Session(server, link, FORMATS[0])
    sent = [{"text": f"{number:04}" * 250} for number in range(200)]
    session.send(*sent)
    got = session.messages(1)
    session.resume(WebSocket, FORMATS[1])
    assert got + session.messages(199) == sent
