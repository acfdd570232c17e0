"""Event streams, polls and POSTs (SPEC §6 to §8) with `httpx` and `httpx-sse`."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import httpx_sse
import pytest
from wire import FORMATS, PATIENCE, EventStream, LongPolling, Refused, Session, kind_of

JSON, MESSAGEPACK = FORMATS
HTTP_LINKS = pytest.mark.parametrize("link", [EventStream, LongPolling], ids=lambda link: link.__name__)
each_format = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@each_format
def test_an_event_stream_is_what_browsers_and_proxies_need_SSE_1_SSE_3(server, format):
    headers = {"Accept": "text/event-stream", "Nosphere-Protocol": format.name, "Nosphere-Attachment": "1"}
    with httpx.stream("GET", f"{server}/echo", headers=headers, timeout=PATIENCE) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream;charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        lines = response.iter_lines()
        first = next(line for line in lines if line and not line.startswith(":"))
        assert first.startswith("data: ")
        assert "opened" in format.from_event(first.removeprefix("data: "))
        assert next(lines) == ""


def test_parameters_may_stand_in_the_query_and_a_header_wins_NEG_1(server):
    query = "nosphere-protocol=nosphere.v1.messagepack&nosphere-attachment=1&nosphere-window=9%2F9999"
    query += "&nosphere-transport=long-polling"
    response = httpx.get(f"{server}/echo?{query}", headers={"Accept": "text/event-stream"})
    assert [kind_of(frame) for frame in MESSAGEPACK.unbatch(response.content)] == ["opened"]
    response = httpx.get(f"{server}/echo?{query}", headers={"Nosphere-Protocol": JSON.name})
    assert [kind_of(frame) for frame in JSON.unbatch(response.content)] == ["opened"]


def test_nosphere_transport_overrides_accept(server):
    headers = {"Nosphere-Protocol": JSON.name, "Nosphere-Attachment": "1", "Nosphere-Transport": "sse"}
    with httpx_sse.connect_sse(httpx.Client(), "GET", f"{server}/echo", headers=headers | {"Accept": "*/*"}) as source:
        assert "opened" in JSON.from_event(next(source.iter_sse()).data)


@each_format
def test_a_poll_can_be_repeated_POL_1(server, format):
    session = Session(server, LongPolling, format)
    session.send({"text": "one"}, {"text": "two"})
    assert session.messages(2)
    session.link.waiting.clear()
    for received, expected in ((0, ["one", "two"]), (0, ["one", "two"]), (1, ["two"])):
        session.received, got = received, []
        while len(got) < len(expected):
            got += [frame["text"] for frame in session.link.poll() if "text" in frame]
            session.received = received + len(got)
        assert got == expected
        session.received = received


def test_a_poll_of_a_higher_attachment_is_answered_with_resumed_at_once_POL_2(server):
    session = Session(server, LongPolling, JSON)
    session.attachment = 7
    session.link = LongPolling(session, session.offer())
    assert session.link.first == {"resumed": {"received": 0}}


@each_format
def test_a_second_poll_replaces_the_one_that_waits_POL_3(server, format):
    session = Session(server, LongPolling, format)
    with ThreadPoolExecutor() as pool:
        polls = {pool.submit(session.link.poll) for _ in range(2)}
        done, waiting = wait(polls, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        with pytest.raises(Refused) as refused:
            done.pop().result()
        assert (refused.value.status, refused.value.name) == (204, "replaced")
        session.send({"text": "one"})
        frames = waiting.pop().result(PATIENCE)
        assert {"text": "one"} in frames or session.messages(1) == [{"text": "one"}]


def test_a_poll_without_a_message_is_answered_empty_in_time_POL_4(server):
    """The three protocols wait at the same time."""

    def native(format):
        session = Session(server, LongPolling, format)
        assert session.link.poll() == []
        session.send({"text": "still there"})
        assert session.messages(1) == [{"text": "still there"}]

    def plain():
        poll = {"Nosphere-Transport": "long-polling"}
        opened = httpx.get(f"{server}/echo", headers=poll)
        key = {name: opened.headers[name] for name in ("Nosphere-Session", "Nosphere-Token")}
        assert httpx.get(f"{server}/echo", headers=poll | key, timeout=40).status_code == 204

    with ThreadPoolExecutor() as pool:
        for waiting in [pool.submit(native, format) for format in FORMATS] + [pool.submit(plain)]:
            waiting.result(50)


def test_a_poll_from_the_past_is_stale_POL_5(server):
    session = Session(server, LongPolling, JSON)
    session.send({"text": "one"})
    assert session.messages(1)
    session.send({"text": "two"})  # its header says that one was received
    session.received = 0
    with pytest.raises(Refused) as refused:
        session.link.poll()
    assert (refused.value.status, refused.value.name) == (409, "stale")
    session.received = 1
    assert session.messages(1) == [{"text": "two"}]


@HTTP_LINKS
@each_format
def test_a_body_that_ends_in_nonsense_is_not_applied_at_all_PST_1(server, link, format):
    session = Session(server, link, format)
    body = format.batch([{"text": "one"}, {"text": "two"}])
    nonsense = b"\nnonsense" if format is JSON else b"\x00\x00\x00\x09non"
    with pytest.raises(Refused) as refused:
        session.link.post(body + nonsense, base=0)
    assert (refused.value.status, refused.value.name) == (400, "malformed")
    if link is EventStream:  # the link may have ended (FRM-2); the session has not
        session.resume(link)
    assert session.link.post(b"", base=0) == 0
    session.send({"text": "three"})
    assert session.messages(1) == [{"text": "three"}]


@HTTP_LINKS
@each_format
def test_a_base_ahead_of_the_session_is_a_gap_PST_2(server, link, format):
    session = Session(server, link, format)
    with pytest.raises(Refused) as refused:
        session.link.post(format.batch([{"text": "two"}]), base=1)
    assert (refused.value.status, refused.value.name, refused.value.received) == (409, "gap", "0")
    session.send({"text": "one"})
    assert session.messages(1) == [{"text": "one"}]


@HTTP_LINKS
def test_a_post_of_an_attachment_that_is_not_current_is_fenced_PST_3(server, link):
    session = Session(server, link, JSON)
    for attachment in ("2", "3"):
        with pytest.raises(Refused) as refused:
            session.link.post(b'{"text":"x"}', base=0, **{"Nosphere-Attachment": attachment})
        assert (refused.value.status, refused.value.name) == (409, "fenced")
    session.send({"text": "one"})
    assert session.messages(1) == [{"text": "one"}]


@HTTP_LINKS
def test_an_empty_body_is_a_batch_of_no_units(server, link):
    assert Session(server, link, JSON).link.post(b"", base=0) == 0


@HTTP_LINKS
def test_one_line_break_may_follow_the_last_unit_BAT_1(server, link):
    session = Session(server, link, JSON)
    session.link.post(b'{"text":"a"}\n{"text":"b"}\n', base=0)
    assert session.messages(2) == [{"text": "a"}, {"text": "b"}]


@HTTP_LINKS
@each_format
def test_close_ends_the_session_and_leaves_a_tombstone_CLS_2_CLS_4(server, link, format):
    session = Session(server, link, format)
    session.send({"text": "one"})
    assert session.messages(1)
    end = format.batch([{"close": {"code": 1000, "reason": "", "received": 1}}])
    for _ in range(2):  # a lost answer is repeated
        assert session.link.post(end, base=1) == 1
    with pytest.raises(Refused) as refused:
        session.link.post(format.batch([{"text": "two"}]), base=1)
    assert (refused.value.status, refused.value.name) == (410, "closed")
    session.attachment += 1
    late = LongPolling(session, session.offer())
    assert late.first["close"]["code"] == 1000


@HTTP_LINKS
@each_format
def test_a_body_over_the_limit_is_refused_whole(server, link, format):
    session = Session(server, link, format)
    limit = max(2 << 20, session.opened["window"]["bytes"])
    with pytest.raises(Refused) as refused:
        session.link.post(format.batch([{"text": "x" * (limit + (1 << 20))}]), base=0)
    assert (refused.value.status, refused.value.name) == (413, "too-large")
    with pytest.raises(Refused) as refused:
        session.link.post(format.batch([{"ack": 0}] * 1025), base=0)
    assert (refused.value.status, refused.value.name) == (413, "too-large")
    session.send({"text": "one"})
    assert session.messages(1) == [{"text": "one"}]


# Plain, §15


class PlainPolling:
    def __init__(self, server, path="/echo"):
        self.url, self.received = server + path, 0
        self.http = httpx.Client(timeout=40)
        answer = self.http.get(self.url, headers={"Nosphere-Transport": "long-polling"})
        assert answer.status_code == 204, "PLN-6"
        self.key = {name: answer.headers[name] for name in ("Nosphere-Session", "Nosphere-Token")}

    def post(self, body, content_type=None, **headers):
        headers |= self.key | ({"Content-Type": content_type} if content_type else {})
        return self.http.post(self.url, content=body, headers=headers)

    def poll(self):
        head = {"Nosphere-Transport": "long-polling", "Nosphere-Received": str(self.received)}
        answer = self.http.get(self.url, headers=head | self.key)
        assert answer.status_code == 200, answer
        self.received += 1
        assert answer.headers["Nosphere-Count"] == str(self.received)
        return answer.headers["Content-Type"], answer.content


def test_plain_polls_hold_one_message_each_PLN_6_PLN_7(server):
    client = PlainPolling(server)
    text, json, binary = "text/plain;charset=utf-8", "application/json", "application/octet-stream"
    big = "€" * 33_334
    assert client.post("ñ 漢字".encode()).status_code == 204
    client.post(b'{"a": 1}', "text/plain")
    client.post(b"1 ", "text/plain; charset=utf-8")
    client.post(b' "scalar" ', json)
    client.post(b"\x00\xff", binary)
    client.post(big.encode(), "text/plain")
    expected = [
        (text, "ñ 漢字".encode()), (json, b'{"a":1}'), (text, b"1 "), (text, b'"scalar"'), (binary, b"\x00\xff"),
        (text, big.encode()),
    ]  # fmt: skip
    for message in expected:
        assert client.poll() == message
    client.received = 5
    assert client.poll() == expected[5], "a poll can be repeated"


def test_a_repeated_plain_post_counts_once_with_a_base(server):
    client = PlainPolling(server)
    for base in (0, 0, 1, 1, 0):
        answer = client.post(b"message %d" % base, **{"Nosphere-Base": str(base)})
        assert answer.status_code == 204
    assert answer.headers["Nosphere-Received"] == "2"
    assert [client.poll()[1], client.poll()[1]] == [b"message 0", b"message 1"]
    gap = client.post(b"message 9", **{"Nosphere-Base": "9"})
    assert (gap.status_code, gap.headers["Nosphere-Error"]) == (409, "gap")
    client.post(b"end")
    assert client.poll()[1] == b"end"


def test_a_body_that_is_not_the_json_it_says_is_malformed_PLN_7(server):
    client = PlainPolling(server)
    answer = client.post(b'{"a":', "application/json")
    assert (answer.status_code, answer.headers["Nosphere-Error"]) == (400, "malformed")
    client.post(b"after", "text/plain")
    assert client.poll()[1] == b"after"


def test_another_content_type_is_refused_PLN_7(server):
    client = PlainPolling(server)
    for other in ("application/xml", "text/html", "multipart/form-data; boundary=x", "text/plain;charset=utf-16"):
        answer = client.post(b"x", other)
        assert (answer.status_code, answer.headers["Nosphere-Error"]) == (415, "content-type"), other


class PlainStream:
    """Reads as an `EventSource` does: it has nothing but the id of the last event."""

    def __init__(self, url, last=None):
        headers = {"Last-Event-ID": last} if last else {}
        self.http = httpx.Client(timeout=PATIENCE)
        self.context = httpx_sse.connect_sse(self.http, "GET", url, headers=headers)
        self.response = self.context.__enter__().response
        self.events = httpx_sse.EventSource(self.response).iter_sse() if self.response.status_code == 200 else None

    def close(self):
        self.context.__exit__(None, None, None)
        self.http.close()


def key_of(event):
    session, token = event.data.split(".")
    return {"Nosphere-Session": session, "Nosphere-Token": token}


def test_a_plain_event_stream_tells_its_key_and_echoes_PLN_3(server):
    stream = PlainStream(f"{server}/echo")
    first = next(stream.events)
    assert first.event == "session" and first.id == f"{first.data}.0"
    client = PlainPolling(server)
    client.key = key_of(first)
    for body, kind in ((b"one\ntwo\n\nthree", None), (b'{"a": [1]}', None), (b"\x00\xff", "application/octet-stream")):
        assert client.post(body, kind).status_code == 204
    got = [next(stream.events) for _ in range(3)]
    assert [(event.event, event.data) for event in got] == [
        ("message", "one\ntwo\n\nthree"), ("message", '{"a":[1]}'), ("binary", "AP8="),
    ]  # fmt: skip
    assert [event.id for event in got] == [f"{first.data}.{count}" for count in (1, 2, 3)]
    stream.close()
    # Nothing was read: it all comes again, and what comes meanwhile too.
    client.post(b"meanwhile")
    stream = PlainStream(f"{server}/echo", last=got[0].id)
    assert next(stream.events).event == "session"
    again = [next(stream.events) for _ in range(3)]
    assert [event.data for event in again] == ['{"a":[1]}', "AP8=", "meanwhile"]
    assert [event.id for event in again] == [f"{first.data}.{count}" for count in (2, 3, 4)]
    stream.close()


def test_a_carriage_return_cannot_pass_a_plain_event_stream_and_is_no_message_PLN_5(server):
    stream = PlainStream(f"{server}/echo")
    client = PlainPolling(server)
    client.key = key_of(next(stream.events))
    client.post(b"with \r return")
    client.post(b"after")
    assert next(stream.events).data == "after"
    stream.close()


def test_what_nobody_was_there_to_read_waits_for_a_plain_event_stream(server):
    stream = PlainStream(f"{server}/echo")
    client = PlainPolling(server)
    first = next(stream.events)
    client.key = key_of(first)
    stream.close()
    for number in range(20):
        assert client.post(b"message %d" % number).status_code == 204
    stream = PlainStream(f"{server}/echo", last=first.id)
    assert next(stream.events).event == "session"
    assert [next(stream.events).data for _ in range(20)] == [f"message {number}" for number in range(20)]
    stream.close()


def test_what_the_ring_lost_is_told_by_reset_PLN_4(server):
    stream = PlainStream(f"{server}/echo")
    client = PlainPolling(server)
    first = next(stream.events)
    client.key = key_of(first)
    for number in range(300):
        assert client.post(b"message %d" % number).status_code == 204
        assert next(stream.events).data == f"message {number}"
    stream.close()
    stream = PlainStream(f"{server}/echo", last=first.id)
    session, reset = next(stream.events), next(stream.events)
    assert (session.event, session.data, reset.event, reset.data) == ("session", first.data, "reset", "44")
    assert [next(stream.events).data for _ in range(256)] == [f"message {number}" for number in range(44, 300)]
    stream.close()


def test_an_unknown_session_is_told_by_reset_PLN_4(server):
    gone = "24f98d6b-c271-4169-8f9c-217343b62aa7.00112233445566778899aabbccddeeff.17"
    stream = PlainStream(f"{server}/echo", last=gone)
    session, reset = next(stream.events), next(stream.events)
    assert (session.event, reset.event, reset.data) == ("session", "reset", "")
    assert not session.data.startswith("24f98d6b")
    stream.close()


def test_a_wrong_token_does_not_resume_a_plain_stream_SES_4(server):
    stream = PlainStream(f"{server}/echo")
    session = next(stream.events).data.partition(".")[0]
    thief = PlainStream(f"{server}/echo", last=f"{session}.{'0' * 32}.0")
    assert (thief.response.status_code, thief.response.headers["Nosphere-Error"]) == (403, "forbidden")
    stream.close()
