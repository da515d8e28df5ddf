"""What a disk may hold when the power goes: a run folder as the syncs left it, rebuilt from what the shim kept.

POSIX promises nothing of what was not synced, so any part of it may be lost. Three disks stand for all: one that lost
everything unsynced; one that has every name, but no content that was not synced (a file system that journals names
alone); one that has each of them or not, by chance.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

CUTS = ("nothing unsynced kept", "names kept alone", "each kept by chance")


@dataclass(frozen=True)
class Entry:
    """A name in a folder: the inode that it stands for."""

    inode: int
    is_folder: bool


class Disk:
    """What the shim kept in `shadow`: the content of files and the names in folders at their last sync."""

    def __init__(self, shadow: Path) -> None:
        self.shadow = shadow

    def begin(self, run: Path) -> None:
        """Forget everything but the run folder as it stands, where it does: that is on the disk since long ago."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        for kind in ("files", "folders", "removed"):
            (self.shadow / kind).mkdir(parents=True)
        for path in [run, *run.rglob("*")] if run.exists() else []:
            if path.is_dir():
                lines = [
                    f"{entry.inode} {'d' if entry.is_folder else 'f'} {name}" for name, entry in _names(path).items()
                ]
                (self.shadow / "folders" / str(path.stat().st_ino)).write_text("".join(f"{line}\n" for line in lines))
            else:
                shutil.copyfile(path, self.shadow / "files" / str(path.stat().st_ino))

    def cut(self, run: Path, kind: str, seed: int) -> None:
        """Put what the disk may hold after a cut in the place of a run folder, which stood whole in memory."""
        if not run.exists():
            return
        now = {path.stat().st_ino: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        rebuilt = run.with_name(run.name + "-rebuilt")
        self._rebuild(run, run.stat().st_ino, rebuilt, kind, random.Random(seed), now)
        shutil.rmtree(run)
        rebuilt.rename(run)

    def _rebuild(
        self, now: Path | None, inode: int, place: Path, kind: str, chance: random.Random, contents: dict[int, bytes]
    ) -> None:
        place.mkdir()
        present = _names(now) if now is not None and now.is_dir() else {}
        for name, entry in self._entries(inode, present, kind, chance).items():
            if entry.is_folder:
                same = now is not None and present.get(name) == entry
                self._rebuild(now / name if same and now else None, entry.inode, place / name, kind, chance, contents)
            else:
                (place / name).write_bytes(self._content(entry.inode, kind, chance, contents))

    def _entries(self, inode: int, present: dict[str, Entry], kind: str, chance: random.Random) -> dict[str, Entry]:
        if kind == CUTS[1]:
            return present
        path, kept = self.shadow / "folders" / str(inode), {}
        for line in path.read_text().splitlines() if path.exists() else []:
            number, form, name = line.split(" ", 2)
            kept[name] = Entry(int(number), form == "d")
        if kind == CUTS[0]:
            return kept
        chosen = {name: chance.choice((kept, present)).get(name) for name in sorted(kept.keys() | present.keys())}
        return {name: entry for name, entry in chosen.items() if entry is not None}

    def _content(self, inode: int, kind: str, chance: random.Random, contents: dict[int, bytes]) -> bytes:
        path = self.shadow / "files" / str(inode)
        kept = path.read_bytes() if path.exists() else b""
        present = contents.get(inode, kept)
        if kind == CUTS[1] and not path.exists():
            return chance.choice((b"", bytes(len(present))))  # empty, or as long as it was and full of zeros
        return (
            chance.choice((kept, present, present[: len(present) // 2]))
            if kind == CUTS[2] and present != kept
            else kept
        )


def _names(folder: Path) -> dict[str, Entry]:
    return {path.name: Entry(path.stat().st_ino, path.is_dir()) for path in folder.iterdir()}
