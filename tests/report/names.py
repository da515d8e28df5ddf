"""The words of a hand-made run: plain ones, and hostile ones that must come out of every page as text."""

from __future__ import annotations

from dataclasses import dataclass

N_IMAGES = 12
ROUGH = "<img src=x onerror=alert(1)>"  # what every hostile word is a kin of
BIDI = "\u202egnp.exe\u202c"
ENDS = "</script><script>alert(2)</script>"
NOT_UTF8 = "bad\udcff.png"  # the name of a file with the byte 0xff in it, as Python spells it
OUTSIDE = "../../outside"  # what leads out of the folder


@dataclass(frozen=True)
class Names:
    """Everything in a run that a person or a disk has named.

    `ids` are those of the images in table order; `outside` of them the rows whose file lies elsewhere. The factors are
    a shortcut, the core, one without an effect, one that goes with the shortcut, and a mark.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, str]
    layers: tuple[str, str]
    shortcut: str
    core: str
    nothing: str
    member: str
    mark: str
    reason: str
    note: str
    outside: tuple[int, ...] = ()

    @property
    def factors(self) -> tuple[str, ...]:
        """All that was tested."""
        return self.shortcut, self.core, self.nothing, self.member, self.mark

    @property
    def words(self) -> tuple[str, ...]:
        """All names at once."""
        return (*self.ids, *self.classes, *self.splits, *self.layers, *self.factors, self.reason, self.note)


PLAIN = Names(
    ids=tuple(f"{('valid', 'train')[row % 2]}/{('cat', 'dog')[row // 2 % 2]}/{row:02}.png" for row in range(N_IMAGES)),
    classes=("cat", "dog"),
    splits=("valid", "train"),
    layers=("conv2", "conv4"),
    shortcut="background",
    core="face",
    nothing="brightness",
    member="border",
    mark="sticker",
    reason="no image format that can be read",
    note="Chosen: conv4 is the last layer with a grid (5 x 4).",
)
HOSTILE = Names(
    ids=(
        f"valid/{ROUGH}.png",
        f"train/{ENDS}.png",
        "valid/\"quotes' and `ticks` & &amp; %2e%2e %00 #a?b=c.png",
        f"train/{BIDI}.png",
        "valid/new\nline\ttab.png",
        "valid/" + "n" * 240 + ".png",
        f"{OUTSIDE}/up.png",
        "train/__proto__",
        "valid/constructor",
        "train/javascript:alert(3)",
        f"valid/{NOT_UTF8}".encode("utf-8", "backslashreplace").decode(),
        "=HYPERLINK(1)@{{7*7}}${alert(4)}.png",
    ),
    classes=(ROUGH, "k" * 300, "__proto__", "constructor", f"{ENDS}{BIDI}", "javascript:alert(5)\n'\""),
    splits=("__proto__", f"{ROUGH}\u2028"),
    layers=("conv2", f"features.{ROUGH}"),
    shortcut=f"{ROUGH}/../..",
    core="constructor",
    nothing="__proto__",
    member=ENDS,
    mark=f"javascript:alert(6){BIDI}" + "m" * 300,
    reason=f"OSError: {ROUGH}{ENDS}{BIDI}",
    note=f"Preprocessing: {ROUGH} {ENDS} {BIDI}\n" + "o" * 300,
    outside=(6,),
)
