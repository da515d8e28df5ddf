"""A gate as JUnit XML, as test reports of pipelines read it: one test case for each condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from seewhy.cli.gate import Gate, Judged
from seewhy.errors import OptionError, WorkError, counted, printable


def check_junit(path: Path | None) -> None:
    """Raise OptionError where no file can be written under that name, before any work."""
    if path is not None and path.is_dir():
        raise OptionError(f"--junit {path} is a folder.  Name a file:  --junit {path}/seewhy.xml")


def write_junit(gate: Gate, path: Path) -> None:
    """Write the gate to a file, and make its folder. Raises WorkError where it cannot be written."""
    counts: dict[str, Any] = {
        "tests": str(len(gate.judged)),
        "failures": str(sum(bool(judged.reasons) for judged in gate.judged)),
        "errors": "0",
        "skipped": str(sum(_is_skipped(judged) for judged in gate.judged)),
    }
    root = ElementTree.Element("testsuites", {"name": "seewhy", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"seewhy {gate.command}", **counts})
    for judged in gate.judged:
        _case(suite, gate.command, judged)
    ElementTree.indent(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    except OSError as error:
        raise WorkError(
            f"{path} cannot be written: {error.strerror or error}.  The run itself is finished.", slug="cannot-write"
        ) from error


def _case(suite: ElementTree.Element, command: str, judged: Judged) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"seewhy.{command}", name=str(judged.condition))
    if judged.reasons:
        message = printable(judged.reasons[0])
        if len(judged.reasons) > 1:
            message = f"{counted(len(judged.reasons), 'reason')}, first: {message}"
        failure = ElementTree.SubElement(case, "failure", message=message, type=judged.condition.word)
        failure.text = "\n".join(map(printable, judged.reasons))
    elif _is_skipped(judged):
        ElementTree.SubElement(case, "skipped", message=printable(judged.cannot_tell))


def _is_skipped(judged: Judged) -> bool:
    return bool(judged.cannot_tell) and not judged.reasons
