"""The official test suite of JSON Schema: the values that schemas of two drafts accept and forbid."""

import json
from pathlib import Path
from typing import Any, Final

from corpora.archives import fetched, texts
from corpora.findings import Findings
from executionkit._schema import check_schema, find_errors

_DRAFTS: Final = ("draft2020-12", "draft7")

_REFUSED: Final = {
    "unevaluatedProperties is not supported": "`unevaluatedProperties`",
    "unevaluatedItems is not supported": "`unevaluatedItems`",
    "$dynamicRef is not supported": "`$dynamicRef`",
    "is not a reference into the same schema": "a reference to another document, to an anchor or by a URI",
    "$id is supported at the root only": "`$id` inside a schema, which changes what references mean",
}
"""Schemas that are refused: a part of the error, and the reason for the report."""

_OTHERWISE: Final = {
    ("vocabulary.json", "no validation: invalid number, but it still validates"): "another meta-schema",
    ("ref.json", "ref valid, maxItems ignored"): "keywords beside `$ref` apply, as they have since 2019",
    ("optional/ecmascript-regex.json", "unicode matching is case-sensitive"): r"`\p{...}` is not checked",
    ("optional/ecmascript-regex.json", "ascii non-digits"): r"`\p{...}` is not checked",
    (
        "optional/format-assertion.json",
        "format-assertion: false: invalid string",
    ): "`format` is an annotation",
    ("optional/format-assertion.json", "format-assertion: true: invalid string"): "`format` is an annotation",
    **dict.fromkeys(
        [
            ("optional/content.json", "an invalid JSON document"),
            ("optional/content.json", "an invalid base64 string (% is not a valid character)"),
            ("optional/content.json", "a validly-encoded invalid JSON document"),
            ("optional/content.json", "an invalid base64 string that is valid JSON"),
        ],
        "content keywords are annotations",
    ),
}
"""Tests with another verdict: the file and the test's description, and the reason for the report."""


def run(cache: Path) -> Findings:
    """Run the suite: nothing forbidden is accepted, and nothing valid is refused, but what is listed."""
    # The wheel doesn't have the suite. Newer distributions may come without it.
    archive = fetched("jsonschema==4.26.0", "source", cache)
    findings = Findings(archive.name)
    for draft in _DRAFTS:
        for name, text in texts(archive, f"json/tests/{draft}/"):
            if name.startswith("optional/format/"):
                continue  # `format` is an annotation
            for case in json.loads(text):
                _try(f"{draft}/{name}", name, case, findings)
    return findings


def _try(place: str, name: str, case: dict[str, Any], findings: Findings) -> None:
    # Schemas that are true or false stand inside others here, because a tool's schema is an object.
    is_whole = isinstance(case["schema"], dict)
    schema: dict[str, Any] = case["schema"] if is_whole else {"properties": {"x": case["schema"]}}
    findings.count["schemas"] += 1
    try:
        check_schema(schema, any_type=True)
    except ValueError as exc:
        reason = next((reason for words, reason in _REFUSED.items() if words in str(exc)), None)
        if reason is None:
            findings.failures.append(f"{place}: {case['description']}: refused: {exc}")
        else:
            findings.listed[f"schemas refused: {reason}"] += 1
        return
    for test in case["tests"]:
        value = test["data"] if is_whole else {"x": test["data"]}
        errors = find_errors(value, schema)
        findings.count["values"] += 1
        if (not errors) == test["valid"]:
            continue
        reason = _OTHERWISE.get((name, test["description"]))
        if reason is None:
            verdict = f"refused: {errors[0]}" if errors else "accepted"
            findings.failures.append(f"{place}: {case['description']}: {test['description']}: {verdict}")
        else:
            findings.listed[f"values judged otherwise: {reason}"] += 1
