"""The words of errors: as the command line has them, and beside them as Python has them."""

from __future__ import annotations

import pytest

import seewhy
from seewhy.cli.app import main
from seewhy.errors import MissingExtraError, OptionError, WorkError, counted
from tests.models import FourConv, images, seeded


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Give one size:  --size 224", "size=…"),
        ("If it happens again:  --batch-size 4 --workers 1", "batch_size=…"),
        ("--format is 'gif'.  Type:  --format png or --model-arg width=16", "image_format=…, model_args=…"),
        ("--mark is ''", "marks=…"),
    ],
)
def test_python_is_told_its_own_names_of_options(message: str, told: str) -> None:
    assert str(OptionError(message)) == f"{message}\n  In Python: {told}"
    assert WorkError(message).message == message


@pytest.mark.parametrize(
    "message",
    [
        "There is no layer 'layer5'.",
        'Try:  --task embedding  (task="embedding" in Python)',
        "See them:  seewhy layers --model net.py:Net",
        "Run again with --debug, or --json",
        "a--b and a - -- b",
    ],
)
def test_nothing_is_added_where_there_is_nothing_to_tell(message: str) -> None:
    assert str(OptionError(message)) == message
    assert "In Python" not in str(MissingExtraError("pandas", None, "to_pandas()"))


def test_an_error_from_python_and_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError, match=r"--batch-size is 0, but must be at least 1\.\n  In Python: batch_size=…"):
        seewhy.explain(seeded(FourConv()), images(2), batch_size=0, progress=False)
    with pytest.raises(SystemExit):
        main(["explain", "nowhere", "--model", "net.py:Net", "--size", "a"])
    told = capsys.readouterr().err
    assert "--size is 'a'" in told and "In Python" not in told


@pytest.mark.parametrize("words", [["--help"], ["explain", "--help"], ["audit", "-h"]], ids=" ".join)
def test_the_help_names_debug(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "--debug" in capsys.readouterr().out


def test_one_is_no_plural() -> None:
    assert [counted(n, "image") for n in (0, 1, 2, 1_000)] == ["0 images", "1 image", "2 images", "1,000 images"]
