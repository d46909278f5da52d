"""Pictures and files: what is made of them, what is refused, and that no one sees their data."""

import copy
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from runs import Ledgered, prompts, used

from executionkit import LLMResponse, MockProvider, Provider
from executionkit.parts import file, image
from executionkit.testing import LocalEndpoint

PNG = b"\x89PNG\r\n\x1a\n" + bytes(12_000)
DATA = "iVBORw0KGgo"
"""The beginning of the base64 of every PNG."""

Make = Callable[[], Any]


class Drawing:
    """A picture like those of Pillow."""

    def save(self, fp: io.BytesIO, format: str) -> None:  # noqa: A002 - Pillow's name
        assert format == "PNG"
        fp.write(PNG)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF89a", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "webp"),
        (b"\x00\x00\x00\x20ftypavif", "avif"),
    ],
)
def test_the_bytes_tell_the_media_type_whatever_the_name_says(tmp_path: Path, head: bytes, kind: str) -> None:
    path = tmp_path / "picture.bmp"
    path.write_bytes(head)
    for source in (path, str(path), head, bytearray(head), memoryview(head)):
        assert image(source)["image_url"]["url"].startswith(f"data:image/{kind};base64,")


def test_urls_and_pictures_that_save_themselves() -> None:
    assert image("HTTPS://x.org/a.png", detail="low") == {
        "type": "image_url",
        "image_url": {"url": "HTTPS://x.org/a.png", "detail": "low"},
    }
    assert image("data:image/png;base64,AAAA")["image_url"] == {"url": "data:image/png;base64,AAAA"}
    assert image(Drawing()) == image(PNG)


def test_a_file_has_a_name_and_a_media_type(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("tea")
    assert file(path)["file"] == {"filename": "notes.txt", "file_data": "data:text/plain;base64,dGVh"}
    assert file(b"%PDF-1.7")["file"]["filename"] == "file.pdf"
    assert file(b"{}", name="a.xyz", media_type="application/json")["file"]["file_data"].startswith(
        "data:application/json;"
    )


TOO_MUCH = bytes(20_000_001)


@pytest.mark.parametrize(
    "make",
    [
        lambda: image(b""),
        lambda: image(b"no picture"),
        lambda: image(PNG + TOO_MUCH),
        lambda: image("data:image/png;base64," + "A" * 27_000_000),
        lambda: image(PNG, detail=cast("Any", "highest")),
        lambda: image(PNG, media_type="png"),
        lambda: image(cast("Any", 3)),
        lambda: image("A" * 5_000),  # encoded data in place of a path
        lambda: file(b""),
        lambda: file(TOO_MUCH, name="a.pdf"),
        lambda: file(b"tea"),
        lambda: file(b"tea", name="notes.unheard-of"),
        lambda: file("data:application/pdf;base64," + "A" * 300),
    ],
)
def test_bad_input_is_refused_without_quoting_it(make: Make) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert len(str(caught.value)) < 200


def test_a_file_that_is_missing_or_too_large_fails_when_the_part_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        image(tmp_path / "missing.png")
    large = tmp_path / "large.png"
    with large.open("wb") as opened:
        opened.truncate(10**12)  # a sparse file
    with pytest.raises(ValueError, match="at most 20 MB"):
        image(large)


def test_the_repr_shows_the_size_and_the_value_has_all_the_data() -> None:
    part = image(PNG)
    assert repr(part) == "{'type': 'image_url', 'image_url': {'url': <image/png, 12 kB>}}"
    assert DATA in json.dumps(part)
    for twin in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert (twin, repr(twin)) == (part, repr(part))
    assert repr(file(b"%PDF-" + bytes(3_000_000))["file"]["file_data"]) == "<application/pdf, 3 MB>"


# -- what a prompt with parts counts ---------------------------------------------------------------------


def said(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


TEXT = [{"role": "user", "content": "What is it?"}]


@pytest.mark.parametrize("part", [image(PNG), json.loads(json.dumps(image(PNG)))], ids=["made", "by hand"])
async def test_a_part_counts_a_thousand_tokens_until_a_reply_has_shown_how_many(part: Any) -> None:
    replies = iter([None, 4_120, None])
    provider = MockProvider(lambda _: LLMResponse("x", usage=used(1, next(replies))))
    run = Ledgered("r", provider, max_cost=prompts(100_000))
    await run.complete(said(part, part))
    assert 2_000 <= run.assumed.input_tokens < 2_100
    await run.complete(said(part, part))
    assert run.room.tokens_per_part is not None
    assert 1_900 < run.room.tokens_per_part < 2_060
    assert run.room.tokens_per_byte == 1.0  # of the first reply, which had no usage


async def test_the_tokens_of_a_picture_are_not_taken_for_those_of_its_text() -> None:
    usages = iter([used(1, 2_015), used(1, 15), used(1, 15)])
    run = Ledgered("r", MockProvider(lambda _: LLMResponse("x", usage=next(usages))), max_cost=prompts(9_000))
    await run.complete(said(image(PNG)))
    await run.complete(TEXT)
    assert run.room.tokens_per_byte is not None
    assert run.room.tokens_per_byte < 0.5
    assert run.room.tokens_per_part == pytest.approx(2_000, rel=0.02)


async def test_a_stream_without_usage_is_estimated_without_the_data() -> None:
    with LocalEndpoint(lambda _: LLMResponse("x")) as endpoint:
        async with Provider(endpoint.base_url, "m", omit={"stream_options"}) as provider:
            async with provider.stream(said(image(PNG * 100))) as events:
                async for _ in events:
                    pass
            assert events.response.usage_is_estimated
            assert 1_000 <= events.response.input_tokens < 1_100
        assert endpoint.ledger.requests[0].messages[0]["content"][1] == image(PNG * 100)


async def test_a_mock_provider_shows_the_sizes_of_what_it_was_sent() -> None:
    provider = MockProvider(["x"])
    await provider.complete(said(json.loads(json.dumps(image(PNG)))))
    assert DATA not in repr(provider.calls)
    assert "<image/png, 12 kB>" in repr(provider.calls)
    assert provider.calls[0].messages[0]["content"][1] == image(PNG)
