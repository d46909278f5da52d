"""Messages for models that take no system messages."""

from typing import Any

import pytest

from executionkit._messages import without_system

PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def system(text: object) -> dict[str, Any]:
    return {"role": "system", "content": text}


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


SAID = {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    ("messages", "turned"),
    [
        ([system("s"), user("u")], [user("s\n\nu")]),
        ([system("s"), {"role": "developer", "content": "d"}, user("u"), SAID], [user("s\n\nd\n\nu"), SAID]),
        ([system([{"type": "text", "text": "s"}]), user("u")], [user("s\n\nu")]),
        ([system("s"), user([PICTURE])], [user([{"type": "text", "text": "s"}, PICTURE])]),
        ([user("u"), SAID, system("s"), user("v")], [user("u"), SAID, user("s\n\nv")]),
        ([user("u"), system("s"), SAID], [user("u\n\ns"), SAID]),
        ([user([PICTURE]), system("s")], [user([PICTURE, {"type": "text", "text": "s"}])]),
        ([system("s")], [user("s")]),
        ([system("s"), SAID, user("u")], [user("s"), SAID, user("u")]),
        ([user("u"), SAID], [user("u"), SAID]),
    ],
)
def test_their_text_goes_into_user_messages(
    messages: list[dict[str, Any]], turned: list[dict[str, Any]]
) -> None:
    before = repr(messages)
    assert without_system(messages) == turned
    assert repr(messages) == before
