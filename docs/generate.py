"""Write docs/cli.md, docs/run-folder.md and docs/methods.md from the code, and what README.md quotes of the demo.

`--check` fails where one drifted. `--demo FOLDER` takes the quote from there, where `seewhy demo --out FOLDER` was run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import methods_table
import quoted_demo
import run_folder
import typer

from seewhy.cli.app import app
from seewhy.cli.commands import DEBUG

HERE = Path(__file__).parent


def page() -> str:
    """The page: every command with its arguments and options."""
    group = typer.main.get_command(app)
    lines = ["# Command line", "", "Made from the commands themselves: `make docs`.", ""]
    version = next(option for option in group.params if option.name == "version")
    lines += [f"`seewhy --version`: {_words(version.help)}", "", DEBUG.replace("--debug", "`--debug`"), ""]
    for name, command in group.commands.items():
        lines += [f"## seewhy {name}", "", command.help or "", ""]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        lines += [f"`seewhy {name} {' '.join(_shown(p) for p in arguments)} [OPTIONS]`".replace("  ", " "), ""]
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        lines += [f"| `{_shown(p)}` | {_words(p.help)} |" for p in arguments]
        lines += [f"| `{'`, `'.join(p.opts)}` | {_words(p.help)}{_default(p)} |" for p in options]
        lines.append("")
    return "\n".join(lines)


def _shown(argument: typer.core.TyperArgument) -> str:
    word = (argument.name or "").upper()
    return word if argument.required else f"[{word}]"


def _words(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _default(option: typer.core.TyperOption) -> str:
    value = option.default
    hidden = (
        value is None or value is False or value in ("", ()) or "[default" in (option.help or "") or option.required
    )
    return " **required**" if option.required else "" if hidden else f" [default: {value}]"


PAGES = {
    "cli.md": page,
    "run-folder.md": run_folder.page,
    "methods.md": methods_table.page,
    "../README.md": quoted_demo.readme,
}

if __name__ == "__main__":
    if "--demo" in sys.argv:
        quoted_demo.keep(Path(sys.argv[sys.argv.index("--demo") + 1]))
    for name, make in PAGES.items():
        if "--check" not in sys.argv:
            (HERE / name).write_text(make(), encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != make():
            sys.exit(f"docs/{name} has drifted; type: make docs")
