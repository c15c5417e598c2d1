"""What a data check found, as JUnit XML for CI and as Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from holdfast.data.records import Contract, DataCheck, Violation

# What XML 1.0 cannot carry, not even escaped.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def to_junit(found: DataCheck, contract: Contract) -> str:
    """One test case a field, and one for each finding about anything else; warnings are told in `system-out`."""
    names = [field.name for field in contract.request_fields()]
    others = [violation.field for violation in found.violations if violation.field not in names]
    names += dict.fromkeys(others)
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"{found.contract} on {found.source}"),
        tests=str(len(names)),
        failures=str(len({violation.field for violation in _of(found, "error")})),
        errors="0",
        skipped="0",
    )
    for name in names:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(found.contract), name=_clean(name))
        own = [violation for violation in found.violations if violation.field == name]
        errors = [violation for violation in own if violation.severity == "error"]
        if errors:
            failure = ElementTree.SubElement(
                case, "failure", message=_clean(errors[0].message), type=errors[0].kind
            )
            failure.text = _clean("\n".join(_line(violation, found.rows) for violation in errors))
        warnings = [violation for violation in own if violation.severity == "warning"]
        if warnings:
            out = ElementTree.SubElement(case, "system-out")
            out.text = _clean("\n".join(f"warning: {_line(violation, found.rows)}" for violation in warnings))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def to_markdown(found: DataCheck, contract: Contract) -> str:
    """A heading with the verdict and a table of what was found, errors first."""
    errors, warnings = _of(found, "error"), _of(found, "warning")
    verdict = "breaks" if errors else "keeps"
    lines = [
        f"### {_cell(found.source)} {verdict} the contract {_cell(contract.urn)}",
        "",
        f"{found.rows} rows, {len(errors)} errors, {len(warnings)} warnings.",
    ]
    if errors or warnings:
        lines += ["", "| | field | rows | what | examples |", "|---|---|---:|---|---|"]
    for violation in (*errors, *warnings):
        cells = (
            f"**{violation.severity}**" if violation.severity == "error" else violation.severity,
            _cell(violation.field),
            str(violation.count),
            _cell(violation.message),
            _cell(", ".join(violation.examples)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _of(found: DataCheck, severity: str) -> Sequence[Violation]:
    return [violation for violation in found.violations if violation.severity == severity]


def _line(violation: Violation, rows: int) -> str:
    where = f" (row {', '.join(str(row) for row in violation.rows)})" if violation.rows else ""
    return f"{violation.message}: {violation.count} of {rows} rows{where}"


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)


def _cell(text: str) -> str:
    """Data in a Markdown table: no pipe ends the cell, no markup comes alive."""
    escaped = re.sub(r"([\\`*_\[\]<>|~#])", r"\\\1", _clean(text))
    return " ".join(escaped.split())
