"""The vectors are what `schema.json` allows, and Python's own parsers agree with those on the wire formats."""

import base64
import collections
import functools
import json
import math
import pathlib
import re
import struct

import jsonschema
import msgpack
import pytest
from wire import EXCHANGES, MESSAGES, PAYLOADS, Json, MessagePack, split_exchange

VECTORS = pathlib.Path(__file__).parents[2] / "vectors"
FILES = sorted(VECTORS.glob("*/*.json"))
SPECIFICATION = (VECTORS.parents[1] / "SPEC.md").read_text()
LARGEST = 2**53 - 1

# What msgpack says of bytes that it cannot read, keys that Python cannot hash and text that is no UTF-8 among them.
BROKEN = (TypeError, ValueError, msgpack.UnpackException, msgpack.StackError)


class Fault(Exception):
    """A unit that a library, or a rule of one line, tells to be wrong: `malformed` or `payload`."""


@functools.cache
def read(path):
    return json.loads(path.read_text())


def cases(about):
    found = [case for path in FILES if read(path)["about"] == about for case in read(path)["cases"]]
    return [pytest.param(case, id=case["id"]) for case in found]


def content(unit):
    """A unit or a body: str or bytes."""
    if "text" in unit:
        return unit["text"]
    digits = unit["hex"]
    return bytes.fromhex(digits if isinstance(digits, str) else " ".join(digits))


def frame_of(value):
    """A frame as the vectors write it, as `wire.py` has it: payloads as Python values."""
    ((kind, body),) = value.items()
    if kind in EXCHANGES:
        number, message = split_exchange(body)
        return {kind: {"id": number} | frame_of(message)}
    if kind == "json-text":
        return {"json": json.loads(body)}
    return {kind: content(body)} if kind == "binary" else value


def units(case):
    for name, some in case["units"].items():
        for unit in some if isinstance(some, list) else [some]:
            yield name, content(unit)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def is_json(value):
    """SPEC MSP-2, of what msgpack has read."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(is_json, value.values()))
    if isinstance(value, list):
        return all(map(is_json, value))
    return value is None or isinstance(value, (bool, int, str)) or isinstance(value, float) and math.isfinite(value)


def check_payload(kind, value):
    """What FRM-3, JSN-3, MSP-2 and MSP-3 ask of a payload that a library could read."""
    if kind == "json" and (not is_json(value) or depth(value) > 64):
        raise Fault("payload")
    if kind == "text" and not isinstance(value, str) or kind == "binary" and not isinstance(value, bytes):
        raise Fault("payload")


def is_integer(value, least=0):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST


def check_frame(frame):
    """What SPEC §2 asks of the fields of control frames."""
    ((kind, body),) = frame.items()
    if kind not in CONTROL or not CONTROL[kind](body):
        raise Fault("malformed")
    return frame


def fields(**checks):
    """An object with these fields, and maybe others."""
    return lambda body: isinstance(body, dict) and all(check(body.get(name)) for name, check in checks.items())


def matches(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_text(value):
    return isinstance(value, str)


def is_reason(value):
    return is_text(value) and len(value.encode()) <= 123


number = functools.partial(is_integer, least=1)
window = fields(messages=number, bytes=number)
session = matches("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
token = matches("[0-9a-f]{32}")
times = dict.fromkeys(["heartbeat", "timeout", "proof", "resume"], is_integer)
CONTROL = dict.fromkeys(["ack", "ping", "pong"], is_integer) | {
    "open": fields(attachment=number, window=window),
    "opened": fields(session=session, token=token, **times, window=window),
    "resume": fields(session=session, token=token, attachment=number, received=is_integer),
    "resumed": fields(received=is_integer),
    "reset": is_text,
    "close": fields(code=is_integer, reason=is_reason, received=is_integer),
}


SPACE = r"[ \t\n\r]*"
MEMBER = re.compile(rf'{SPACE}("(?:[^"\\]|\\.)*"){SPACE}:(.*)', re.DOTALL)


def member(text):
    """The name that a member begins with, and everything behind its colon."""
    found = MEMBER.fullmatch(text)
    try:
        return json.loads(found[1], strict=True), found[2].strip(" \t\n\r")
    except (TypeError, ValueError):
        raise Fault("malformed") from None


def decode_json(unit):
    if not isinstance(unit, str):
        raise Fault("malformed")
    # The envelope of a message (FRM-3). Without it, what json cannot read is no frame at all.
    envelope = re.fullmatch(rf"{SPACE}\{{(.*)\}}{SPACE}", unit, re.DOTALL)
    if envelope is None:
        raise Fault("malformed")
    kind, rest = member(envelope[1])
    if kind not in EXCHANGES:
        return decode_member(kind, rest)
    number, comma, message = rest.partition(",")
    inner, payload = member(message)
    if inner not in PAYLOADS or not re.fullmatch(rf"(0|[1-9][0-9]*){SPACE}", number, re.ASCII):
        raise Fault("malformed")
    return check_exchange(kind, int(number), decode_member(inner, payload))


def check_exchange(kind, number, message):
    if not is_integer(number):
        raise Fault("malformed")
    return {kind: {"id": number} | message}


def decode_member(kind, text):
    def refuse(constant):
        raise ValueError(constant)

    try:
        value = json.loads(text, parse_constant=refuse)
        if kind == "binary":
            # The library passes over a padding that is too long.
            if len(value) % 4:
                raise Fault("payload")
            value = base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise Fault("payload" if kind in PAYLOADS else "malformed") from None
    if kind in PAYLOADS:
        check_payload(kind, value)
        return {kind: value}
    return check_frame({kind: value})


def decode_messagepack(unit):
    if not isinstance(unit, bytes):
        raise Fault("malformed")
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(unit)
    kind, head, value = None, [], None
    try:
        left = unpacker.read_array_header()

        def take():
            nonlocal left
            left -= 1
            return unpacker.unpack() if left >= 0 else None

        kind = kind_of(take())
        if kind in EXCHANGES:
            # The envelope of a request goes on to the kind of its message.
            head = [kind, take()]
            kind = kind_of(take())
            if not is_integer(head[1]) or kind not in PAYLOADS:
                raise Fault("malformed")
        expected = len(MessagePack.fields.get(kind, [kind]))
        values = [take() for _ in range(min(expected, left))]
        check_text(values)
    except BROKEN:
        raise Fault("payload" if kind in PAYLOADS else "malformed") from None
    try:
        for _ in range(left):
            unpacker.skip()
    except BROKEN:
        raise Fault("malformed") from None
    if kind is None or len(values) < expected:
        raise Fault("malformed")
    if kind in PAYLOADS:
        check_payload(kind, values[0])
    if unpacker.tell() != len(unit):
        raise Fault("malformed")
    if head:
        return check_exchange(*head, {kind: values[0]})
    return {kind: values[0]} if kind in PAYLOADS else check_frame({kind: named(kind, values)})


def kind_of(number):
    return MessagePack.kinds[number] if is_integer(number) and number < len(MessagePack.kinds) else None


def check_text(value):
    """Text that was no UTF-8 has surrogates in it now, which cannot be encoded."""
    for text in texts(value):
        text.encode()


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts(inner)


def named(kind, values):
    """The fields of a control frame, as the format `json` names them."""
    if kind not in MessagePack.fields:
        return values[0]
    body = dict(zip(MessagePack.fields[kind], values, strict=True))
    if "session" in body:
        if not all(isinstance(body[name], bytes) and len(body[name]) == 16 for name in ("session", "token")):
            raise Fault("malformed")
        digits = body["session"].hex()
        body["session"] = "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])
        body["token"] = body["token"].hex()
    if "messages" in body:
        body["window"] = {"messages": body.pop("messages"), "bytes": body.pop("bytes")}
    return body


def decode_plain(unit):
    if isinstance(unit, bytes):
        return {"binary": unit}
    trimmed = unit.strip("".join(map(chr, range(0x21))))
    if trimmed.startswith(("{", "[")):
        try:
            value = json.loads(trimmed)
            return {"json": value} if depth(value) <= 64 else {"text": unit}
        except ValueError:
            pass
    return {"text": unit}


def decode_atmosphere(unit, beats=False):
    """SPEC §17: what a client of atmosphere.js sends."""
    if beats and unit == "X":
        return {"pong": 0}
    return {"ack": 0} if unit == "...ACK..." else decode_plain(unit)


DECODE = {
    "json": decode_json,
    "messagepack": decode_messagepack,
    "plain": decode_plain,
    "atmosphere": decode_atmosphere,
    "atmosphere-beating": lambda unit: decode_atmosphere(unit, beats=True),
}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode(name, frame):
    ((kind, value),) = frame.items()
    if name == "messagepack":
        return MessagePack().encode(frame)
    if name == "json":
        return compact(Json().members(frame))
    return compact(value) if kind == "json" else value


def same(ours, theirs):
    """Equality that tells true from 1."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_are_what_the_schema_allows(path):
    VALIDATOR.validate(read(path))


def test_the_schema_is_one_and_refuses_what_it_should():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    step = {"at": 1, "transmits": [{"ping": 0}], "events": ["heartbeat"]}
    case = {"id": "a-b", "requirement": "HB-1", "sentence": "So.", "role": "server", "protocol": "native"}
    case["steps"] = [step]
    file = {"schema": "../schema.json", "about": "sessions", "title": "T", "cases": [case]}
    assert VALIDATOR.is_valid(file)
    for wrong in (
        {"about": "units"},
        {"cases": []},
        {"cases": [case | {"id": "A b"}]},
        {"cases": [case | {"requirement": "HB"}]},
        {"cases": [{name: value for name, value in case.items() if name != "sentence"}]},
        {"cases": [case | {"steps": [step | {"event": []}]}]},
        {"cases": [case | {"steps": [step | {"transmits": [{"ping": -1}]}]}]},
        {"cases": [case | {"steps": [step | {"events": ["connected"]}]}]},
        {"cases": [case | {"config": {"heartbeats": 1}}]},
    ):
        assert not VALIDATOR.is_valid(file | wrong), wrong


def test_ids_are_unique_and_requirements_are_of_the_specification():
    every = [case for path in FILES for case in read(path)["cases"]]
    assert len(every) >= 300
    twice = [name for name, times in collections.Counter(case["id"] for case in every).items() if times > 1]
    assert twice == []
    known = set(re.findall(r"^\* \[([A-Z]+-\d+)\]", SPECIFICATION, re.MULTILINE))
    known |= {"§" + number for number in re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", SPECIFICATION, re.MULTILINE)}
    for case in every:
        rules = case["requirement"]
        assert {*([rules] if isinstance(rules, str) else rules)} <= known, case["id"]


@pytest.mark.parametrize("case", cases("units"))
def test_units(case):
    for name, unit in units(case):
        try:
            frame = DECODE[name](unit)
        except Fault as fault:
            assert case["verdict"] in ("invalid", "either"), f"{unit!r} is {fault}"
            assert case["verdict"] == "either" or case["error"] == str(fault), unit
            continue
        assert case["verdict"] != "invalid", f"{unit!r} is {frame}"
        if case["verdict"] == "valid":
            expected = frame_of(case["frame"])
            ((kind, body),) = expected.items()
            # Fields that are not known are ignored (FRM-1).
            known = {kind: pruned(frame[kind], body)} if kind not in MESSAGES and isinstance(body, dict) else frame
            assert same(known, expected), unit
            if case.get("canonical"):
                assert encode(name, expected) == unit


def pruned(body, model):
    return {name: pruned(body[name], inner) if isinstance(inner, dict) else body[name] for name, inner in model.items()}


@pytest.mark.parametrize("case", cases("batches"))
def test_batches(case):
    body, limit = content(case["body"]), case.get("limit", 1024)
    body = body.encode() if isinstance(body, str) else body
    try:
        found = split(body) if case["format"] == "json" else cut(body)
        assert len(found) <= limit
    except (AssertionError, UnicodeDecodeError, struct.error):
        assert case["verdict"] == "invalid"
        return
    assert case["verdict"] == "valid"
    assert found == [content(unit) for unit in case["units"]]
    if case.get("canonical"):
        lengths = b"".join(struct.pack(">I", len(unit)) + unit for unit in found if isinstance(unit, bytes))
        assert body == (lengths if case["format"] == "messagepack" else "\n".join(found).encode())


def split(body):
    text = body.decode().removesuffix("\n")
    return text.split("\n") if text else []


def cut(body):
    found = []
    while body:
        (length,) = struct.unpack_from(">I", body)
        assert len(body) >= 4 + length
        found.append(body[4 : 4 + length])
        body = body[4 + length :]
    return found


@pytest.mark.parametrize("case", cases("bodies"))
def test_bodies(case):
    body = content(case["body"])
    body = body.encode() if isinstance(body, str) else body
    try:
        found = {"json": lambda: {"json": json.loads(body.decode())}, "text": lambda: decode_plain(body.decode())}
        message = found.get(case["kind"], lambda: {"binary": body})()
    except ValueError:
        assert case.get("error") == "malformed"
        return
    assert same(message, frame_of(case["frame"]))


SCHEMA = json.loads((VECTORS / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
