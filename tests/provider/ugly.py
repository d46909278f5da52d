"""The ugly things that servers and networks send instead of a reply."""

import gzip

from loopback import http

NOT_A_REPLY = {
    "empty": http(""),
    "html": http("<html><head><title>Sign in &amp; pay</title></head><body>x</body></html>"),
    "null": http("null"),
    "list": http("[]"),
    "number": http("1"),
    "no choices": http("{}"),
    "empty choices": http('{"choices": []}'),
    "null choices": http('{"choices": null}'),
    "odd choice": http('{"choices": [3]}'),
    "error": http('{"error": {"message": "overloaded", "type": "server_error"}}'),
    "nested": http("[" * 100_000),
    "nested in a reply": http('{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "bad utf-8": http(b'{"choices": "\xff\xfe"}'),
    "no json": http("choices"),
    "cut json": http('{"choices": [{"message"'),
    "no gzip": http("not gzip", "200 OK", "Content-Encoding: gzip"),
    "cut gzip": http(gzip.compress(b"{}" * 99)[:-5], "200 OK", "Content-Encoding: gzip"),
    "foreign encoding": http("x", "200 OK", "Content-Encoding: br"),
    "no content": http("", "204 No Content"),
}
"""Whole HTTP replies that hold no completion."""

CUT = {
    "before a byte": b"",
    "in the status line": b"HTTP/1.1 20",
    "in the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "in the body": http("{}", length=100),
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
}
"""What comes before the connection breaks."""

MALFORMED = {
    "a space before the colon": b"X-Foo : bar",
    "no colon": b"X-Foo",
    "no name": b": bar",
    "a name beyond ASCII": b"X-\xc3\xbc: bar",
    "a bare CR": b"X-Foo: bar\rX-Bar: foo",
    "the first line of a mailbox": b"From me",
}
"""Lines that are none of a reply's headers."""
