"""JSON as it is read and written: whatever Python's own decoder reads, and only what the API can take."""

import enum
import json
import math
import uuid
from collections import UserDict, namedtuple
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit._json import dumps, loads

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@pytest.mark.parametrize("text", ["a\tb", "a\nb\r\n", "\x00\x1f\x7f"])
def test_control_characters_in_strings_are_read_as_what_they_are(text: str) -> None:
    assert loads(f'{{"{text}": ["{text}"]}}'.encode()) == {text: [text]}
    with pytest.raises(ValueError, match="Expecting"):
        loads('{"a":\x00 1}')


@settings(max_examples=50)
@given(values)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    written = dumps(value)
    assert json.loads(written) == value
    assert repr(loads(written)) == repr(json.loads(written))


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_is_read_is_what_json_makes_of_it(data: bytes) -> None:
    assert outcome(loads, data) == outcome(partial(json.loads, strict=False), data)


def outcome(read: Callable[[bytes], Any], data: bytes) -> str:
    try:
        return repr(read(data))
    except ValueError as exc:
        return repr(exc)


READ = {
    "integers beyond 64 bits": ("[18446744073709551616, -9223372036854775809]", [2**64, -(2**63) - 1]),
    "a great integer in a string": ('["18446744073709551616"]', ["18446744073709551616"]),
    "integers of 64 bits": ("[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
    "lone surrogates": ('"a\\ud800b"', "a\ud800b"),
    "a name that comes twice": ('{"a": 1, "a": 2}', {"a": 2}),
    "infinity": ("[1e400]", [math.inf]),
    "nested": ("[" * 300 + "]" * 300, json.loads("[" * 300 + "]" * 300)),
    "long": (json.dumps(["x" * 20_000, 2**70]), ["x" * 20_000, 2**70]),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read(case: str) -> None:
    text, expected = READ[case]
    for data in (text, text.encode(), text.encode("utf-16")):
        found = loads(data)
        assert found == expected
        assert repr(found) == repr(expected)


def test_an_integer_of_more_digits_than_python_converts() -> None:
    assert loads("[1" + "0" * 5000 + "]") == [math.inf]


def test_nan_is_read() -> None:
    assert math.isnan(loads("NaN"))


class Role(enum.Enum):
    USER = "user"


class Text(str):
    __slots__ = ()


Pair = namedtuple("Pair", "a b")

WRITTEN = {
    "a lone surrogate": ("x\udfffy \ud83d\ude00", b'"x\xef\xbf\xbdy \xf0\x9f\x98\x80"'),
    "integers beyond 64 bits": ([2**64, -(2**70)], b"[18446744073709551616,-1180591620717411303424]"),
    "keys that are no strings": ({1: 2, None: 3, False: 4}, b'{"1":2,"null":3,"false":4}'),
    "subclasses": ([Text("t"), Pair(1, 2)], b'["t",[1,2]]'),
    "other mappings": (UserDict(a=(1, 2)), b'{"a":[1,2]}'),
    "nested": (json.loads("[" * 400 + "]" * 400), b"[" * 400 + b"]" * 400),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_is_written(case: str) -> None:
    value, expected = WRITTEN[case]
    assert dumps(value) == expected


REFUSED = {
    "nan": (ValueError, [math.nan]),
    "infinity": (ValueError, {"a": -math.inf}),
    "an identifier": (TypeError, {"a": uuid.uuid4()}),
    "a member": (TypeError, [Role.USER]),
    "bytes": (TypeError, {"a": [b"x"]}),
    "keys that JSON can't have": (TypeError, {(1, 2): 3}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    kind, value = REFUSED[case]
    with pytest.raises(kind):
        dumps(value)
