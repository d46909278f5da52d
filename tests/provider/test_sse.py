"""The parser of server-sent events: every line ending, every chunking, nothing but events out."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit.provider._sse import EventParser, EventTooLargeError, ServerEvent


def parsed(stream: bytes, size: int = 2**20, limit: int = 2**20) -> list[ServerEvent]:
    parser = EventParser(limit)
    events = [event for at in range(0, len(stream), size) for event in parser.feed(stream[at : at + size])]
    return [*events, *parser.finish()]


def data(stream: bytes, size: int = 2**20) -> list[str]:
    return [event.data for event in parsed(stream, size)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data: a\r\n\ndata: b\n\r\n", ["a", "b"]),
        (b"data:a\n\ndata:  b\n\n", ["a", " b"]),
        (b"data: one\ndata: two\ndata\n\n", ["one\ntwo\n"]),
        (b": hello\n\n:\ndata: a\n: more\n\n", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n", ["a", "\ufeffb"]),
        ("data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(), ["a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"]),
        (b"\n\n\r\n\rdata: a\n\n", ["a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n  data: c\n\n", ["a", "b", "c"]),
        (b"id: 7\nretry: 10\nnothing\nDATA: b\nfield: c\n\ndata: a\n\n", ["a"]),
        (b"data: a\n\ndata: b\n", ["a", "b"]),
        (b"data: a\n\ndata: b", ["a", "b"]),
        (b"data: \xff\xc3\n\n", ["\ufffd\ufffd"]),
        (b"", []),
        (b"\xef\xbb\xbf", []),
        (b"<html>\n<body>\n\n", []),
    ],
)
def test_a_stream_and_its_events(stream: bytes, expected: list[str]) -> None:
    for size in (1, 2, 3, 7, 1000):
        assert data(stream, size) == expected


def test_the_type_belongs_to_one_event() -> None:
    assert parsed(b"event: error\ndata: a\n\ndata: b\n\nevent: lost\n\ndata: c\n\n") == [
        ServerEvent("error", "a"),
        ServerEvent("", "b"),
        ServerEvent("", "c"),
    ]


LINES = st.sampled_from(
    ["data: ", "data", ": x", "event: e", "id: 1", "\ufeff", "", "data:\u2028ü\U0001f600", "data: [DONE]"]
)
ENDS = st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\r\r"])


@given(
    stream=st.one_of(
        st.binary(max_size=200),
        st.lists(st.tuples(LINES, st.text(max_size=5), ENDS)).map(
            lambda parts: "".join(map("".join, parts)).encode("utf-8", "surrogatepass")
        ),
    ),
    cuts=st.lists(st.integers(0, 400), max_size=20),
)
def test_any_chunking_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    parser = EventParser(2**20)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = [event for begin, end in itertools.pairwise(places) for event in parser.feed(stream[begin:end])]
    assert [*found, *parser.finish()] == parsed(stream)


@given(payload=st.recursive(st.none() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_json_comes_through_as_it_was(payload: object) -> None:
    text = json.dumps(payload)
    assert [json.loads(item) for item in data(f"data: {text}\r\n\r\n".encode(), 3)] == [payload]


def test_an_event_has_a_largest_size_and_a_stream_has_none() -> None:
    parser = EventParser(100)
    for _ in range(1000):
        assert parser.feed(b": still here\n") == []
        assert parser.feed(b"data: a\n\n") == [ServerEvent("", "a")]
    parser.feed(b"x" * 100)
    with pytest.raises(EventTooLargeError):
        parser.feed(b"x")
    with pytest.raises(EventTooLargeError):
        EventParser(100).feed(b"data: x\n" * 20)


def test_objects_without_an_empty_line_between_them_are_events_of_their_own() -> None:
    stream = b'data: {"a": 1}\nevent: error\ndata: {"b": 2}\nid: 3\ndata: {"c": 3}\ndata: [DONE]'
    wanted = [("", '{"a": 1}'), ("error", '{"b": 2}'), ("", '{"c": 3}'), ("", "[DONE]")]
    assert parsed(stream) == parsed(stream, 1) == [ServerEvent(*each) for each in wanted]
    # What goes on is one object, however its lines begin and end.
    assert data(b'data: {"a": {}\ndata: ,"b": [{}\ndata: ]}\n\n') == ['{"a": {}\n,"b": [{}\n]}']
    assert data(b'data: {"a": {}\ndata: {"b": 1}\n\n') == ['{"a": {}\n{"b": 1}']
