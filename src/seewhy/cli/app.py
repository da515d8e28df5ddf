"""The command line, and how an error becomes words and an exit status."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from seewhy.cli.commands import DEBUG, Commands
from seewhy.cli.printing import plain
from seewhy.cli.spread import with_address
from seewhy.errors import ModelError, SeewhyError, is_users_file


class _Commands(TyperGroup):
    """The commands; an interrupted one says how to go on, which Typer itself would leave out."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        by_name: Any = Commands()  # read alone, where Typer would let it be written, too
        self.commands = by_name

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        told: list[int] = []
        try:
            with _stopping(told), _telling_of_exits():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # of a terminal that was closed
                print("Stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr)
            raise SystemExit(128 + next(iter(told), signal.SIGINT)) from None
        except SystemExit as error:  # none of ours: what a command has to say it raises
            place = _place_in_users_code(error) or traceback.extract_tb(error.__traceback__)[-1]
            raise _left(f"sys.exit({error.code!r})", place) from error


def _left(words: str, place: traceback.FrameSummary) -> ModelError:
    return ModelError(
        f"The command was ended by {words} in {place.filename}, line {place.lineno}.\n"
        "  That is code of the network, or what it imports: it must not end the program.",
        slug="network-failed",
    )


def _raised(error: Exception, place: traceback.FrameSummary) -> ModelError:
    return ModelError(
        f"{type(error).__name__}: {error}\n"
        + "".join(f"  {note}\n" for note in getattr(error, "__notes__", [])[:1])
        + f"  It was raised by your own code: {place.filename}, line {place.lineno}, in {place.name}.",
        slug="network-failed",
    )


def _place_in_users_code(error: BaseException) -> traceback.FrameSummary | None:
    """Where the user's code raised an error, also within torch; None where it was ours."""
    ours = Path(__file__).parents[1]
    places = [p for p in reversed(traceback.extract_tb(error.__traceback__)) if p.name != "__torch_function__"]
    place = next((p for p in places if is_users_file(p.filename) or ours in Path(p.filename).parents), None)
    return place if place is not None and is_users_file(place.filename) else None


@contextlib.contextmanager
def _stopping(told: list[int]) -> Iterator[None]:
    """What a closed terminal, `timeout` and schedulers send stops the command as Ctrl-C does, and stands in `told`.

    Not in what is raised: Ray takes that, and raises one of its own. What `nohup` ignores stays ignored.
    """

    def stop(number: int, frame: Any) -> None:
        told.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in names if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _telling_of_exits() -> Iterator[None]:
    """A network whose code ends or replaces the process (`os._exit`, `os.exec…`) does so with words, never with 0."""
    leave, command = os._exit, os.getpid()
    others = {name: getattr(os, name) for name in ("execv", "execve")}  # which all of exec… call

    def say(words: str) -> int:
        frames = reversed(traceback.extract_stack()[:-2])
        place = next(frame for frame in frames if frame.filename not in (os.__file__, "<frozen os>"))
        error = _left(words, place)
        _say(error)
        return error.exit_status

    def told(status: int) -> NoReturn:
        leave(say(f"os._exit({status})") if os.getpid() == command else status)

    def replaced(name: str) -> Callable[..., NoReturn]:
        def tell(*words: Any) -> NoReturn:
            if os.getpid() == command:
                leave(say(f"os.{name}({words[0]!r}, …)"))
            others[name](*words)
            raise AssertionError  # it does not come back

        return tell

    os._exit = told
    for name in others:
        setattr(os, name, replaced(name))
    try:
        yield
    finally:
        os._exit = leave
        for name, real in others.items():
            setattr(os, name, real)


app = typer.Typer(
    cls=_Commands,
    help="Shows what an image classifier looks at, and proves what its decisions depend on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=DEBUG,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version  # which the help would wait for

        print(f"seewhy {version('seewhy')}, torch {version('torch')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None: ...


def let_threads_wait() -> None:
    """Let torch's threads sleep while they wait for each other, unless the environment says otherwise.

    They would spin, and beside another process on the machine, or within a quota, that is the time which the others
    need. It counts only before torch is loaded.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with 0, 1 (failed work), 2 (wrong input) or 128 + the signal (stopped)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    let_threads_wait()
    gc.disable()  # importing torch makes a million objects and no garbage; steady_process() ends it
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # nor are they looked through when the process ends, which would take half a second
    try:
        app(args=with_address([word for word in given if word != "--debug"]), prog_name="seewhy")
    except SeewhyError as error:
        if debug:
            traceback.print_exc()
        _say(error)
        raise SystemExit(error.exit_status) from None
    except Exception as error:
        if debug:
            raise
        if (place := _place_in_users_code(error)) is not None:
            _say(_raised(error, place))
        else:
            print(
                f"Unexpected {type(error).__name__}: {plain(str(error))}\n  Run again with --debug to see where.",
                file=sys.stderr,
            )
        raise SystemExit(1) from None
    finally:
        gc.enable()
        gc.unfreeze()


def _say(error: SeewhyError) -> None:
    print(f"{type(error).__name__}: {plain(error.message)}\n  docs/errors.md#{error.slug}", file=sys.stderr, flush=True)
