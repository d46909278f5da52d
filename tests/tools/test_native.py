"""Native annotations: the same schema and the same verdict as pydantic's."""

from types import GenericAlias
from typing import Annotated, Any, Literal, Union

from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit.tools._arguments import blueprint_of
from executionkit.tools._by_pydantic import PydanticArguments
from executionkit.tools._signature import signature_of
from executionkit.tools._unfit import UnfitArgumentsError

leaves = st.sampled_from([str, int, float, bool, None, Any, Literal["a", "b"], Literal["on"], list, dict])
annotations = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda kind: GenericAlias(list, (kind,))),
        inner.map(lambda kind: GenericAlias(dict, (str, kind))),
        inner.map(lambda kind: Annotated[kind, "words"]),
        st.lists(inner, min_size=2, max_size=3).map(lambda kinds: Union[tuple(kinds)]),  # noqa: UP007 - its members are data,
    ),
    max_leaves=5,
)
texts = st.sampled_from(
    [
        "a",
        "b",
        "on",
        "True",
        "no",
        "3",
        " 3 ",
        "+3",
        "-0",
        "3.0",
        "3.5",
        "1e3",
        "1_000",
        "nan",
        "-inf",
        "",
        "٣",
        "é",
    ]
)
numbers = st.one_of(
    st.sampled_from([0, 1, 2, -1, 3.0, 3.5, -0.0, 1e16, 1e19, 10**20, 10**400, float("inf"), float("nan")]),
    st.integers(),
    st.floats(),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.sampled_from(["first", "second", "third"]), values, max_size=3)


def unordered(schema: Any) -> Any:
    """The schema with the alternatives sorted: `Optional[str]` and `None | str` are the same to `typing`."""
    if isinstance(schema, dict):
        return {key: unordered(value) for key, value in schema.items()}
    return sorted(map(unordered, schema), key=repr) if isinstance(schema, list) else schema


def function_of(first: object, second: object, default: object) -> Any:
    def call(first: Any, second: Any = default) -> object:
        return first, second

    call.__annotations__ = {"first": first, "second": second}
    return call


def verdict(convert: Any, given_arguments: dict[str, Any]) -> object:
    try:
        return repr(sorted(convert(given_arguments).items()))
    except UnfitArgumentsError:
        return "refused"


@settings(max_examples=300, deadline=None)
@given(annotations, annotations, st.sampled_from([None, 3, "x", [1], {"a": None}, object()]), arguments)
def test_native_and_pydantic_agree(
    first: object, second: object, default: object, given_arguments: dict[str, Any]
) -> None:
    function = function_of(first, second, default)
    native = blueprint_of(function, "call").arguments
    checked = PydanticArguments(signature_of(function, "call"), "call")
    assert type(native).__name__ == "_NativeArguments"
    for described in native.schema["properties"].values():
        described.pop("description", None)  # pydantic ignores a bare text
    assert unordered(native.schema) == unordered(checked.schema)
    expected = verdict(lambda a: {k: v for k, v in checked.convert(a).items() if k in a}, given_arguments)
    assert verdict(native.convert, given_arguments) == expected
