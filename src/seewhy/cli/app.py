"""The commands by name, and how an error becomes words and an exit status."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from seewhy.cli.audit import audit
from seewhy.cli.check import check
from seewhy.cli.data import data
from seewhy.cli.demo import demo
from seewhy.cli.explain import explain
from seewhy.cli.lists import layers, methods
from seewhy.cli.printing import plain
from seewhy.cli.report import report
from seewhy.cli.train import train
from seewhy.errors import SeewhyError


class _Commands(TyperGroup):
    """The commands; an interrupted one says how to go on, which Typer itself would leave out."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("Stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr)
            raise SystemExit(130) from None


app = typer.Typer(
    cls=_Commands,
    help="Shows what an image classifier looks at, and proves what its decisions depend on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (explain, check, audit, report, layers, methods, train, data, demo):
    app.command()(command)


def let_threads_wait() -> None:
    """Let torch's threads sleep while they wait for each other, unless the environment says otherwise.

    They would spin, and beside another process on the machine, or within a quota, that is the time which the others
    need. It counts only before torch is loaded.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with 0, 1 (failed work), 2 (wrong input) or 130 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    let_threads_wait()
    gc.disable()  # importing torch makes a million objects and no garbage; steady_process() ends it
    try:
        app(args=[word for word in given if word != "--debug"], prog_name="seewhy")
    except SeewhyError as error:
        if debug:
            traceback.print_exc()
        print(f"{type(error).__name__}: {plain(str(error))}\n  docs/errors.md#{error.slug}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except Exception as error:
        if debug:
            raise
        print(
            f"Unexpected {type(error).__name__}: {plain(str(error))}\n  Run again with --debug to see where.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    finally:
        gc.enable()
        gc.unfreeze()
