"""JUnit XML, as CI pages read it: a suite for each run, a case for each check. Doubt is an error, never a success."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from lab.report.page.content import Report
from lab.verdict import Finding, Verdict

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have, escaped or not."""


def junit_xml(report: Report) -> str:
    """Return the verdicts of a report as JUnit XML: *failure* for fail, *error* for inconclusive."""
    root = ET.Element("testsuites", name="resilience lab")
    for part in report.parts:
        _suite(root, part.name, part.findings, part.seconds)
    for study in report.studies:
        _suite(root, study.name, study.findings, study.seconds)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ET.Element, name: str, findings: Iterable[Finding], seconds: float) -> None:
    cases = list(findings)
    wrong = [sum(finding.verdict is verdict for finding in cases) for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)]
    suite = ET.SubElement(root, "testsuite", name=_text(name), tests=str(len(cases)), time=f"{seconds:.3f}")
    suite.set("failures", str(wrong[0]))
    suite.set("errors", str(wrong[1]))
    for finding in cases:
        case = ET.SubElement(suite, "testcase", classname=_text(name), name=_text(finding.check), time="0")
        if finding.verdict is not Verdict.PASS:
            kind = "failure" if finding.verdict is Verdict.FAIL else "error"
            told = ET.SubElement(case, kind, type=finding.verdict.value, message=_text(finding.why))
            told.text = _text("\n".join(f"{anomaly.name}: {anomaly.why}" for anomaly in finding.anomalies))


def _text(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
