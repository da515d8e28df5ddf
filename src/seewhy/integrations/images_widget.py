"""The widget itself, of anywidget: the state of the page as traits, and the page's code."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import traitlets

from seewhy.errors import OptionError, listed, nearest
from seewhy.integrations.packages import library
from seewhy.integrations.widget_data import COLOURS, WidgetSource, held_of, shown
from seewhy.report.pages import TEMPLATES

_anywidget = library("anywidget", "widget", "seewhy.widget")
_HERE = Path(__file__).parent
# The same blending as that of the report's pages, within the module: nothing is put on the notebook's own window.
_CODE = "\n".join(
    (
        "const seewhy = {};\nconst window = { seewhy };",
        (TEMPLATES / "blend.js").read_text(encoding="utf-8"),
        (_HERE / "widget.js").read_text(encoding="utf-8"),
    )
)
_STYLE = (_HERE / "widget.css").read_text(encoding="utf-8")
FILTERS = ("text", "split", "label", "prediction", "right", "sort")
RIGHT = ("", "right", "wrong", "unknown")
SORTS = ("", "-", "name", "-name", "probability", "-probability")


class ImagesWidget(_anywidget.AnyWidget):  # type: ignore[name-defined]
    """The images of a result, to be filtered, sorted, opened, and seen under each of their maps.

    What is set here changes the page, and what is chosen in the page stands here: `text` (a part of the name),
    `split`, `label`, `prediction`, `right` ("right", "wrong", "unknown"), each "" for all; `sort` ("name",
    "probability", with a minus in front for the other way round); `map`, `colours` ("heat", "jet", "signed"), `scale`
    ("" or "common"), `opacity` 0 to 1; `row`, the number of the image that is shown large, or None. `rows` are the
    numbers, in the result, of the images that pass the filters, in their order.
    """

    _esm = _CODE
    _css = _STYLE

    table = traitlets.Dict(read_only=True).tag(sync=True)
    pictures = traitlets.Bytes(read_only=True).tag(sync=True)
    maps = traitlets.Bytes(read_only=True).tag(sync=True)
    tables = traitlets.Bytes(read_only=True).tag(sync=True)  # of colours: 256 x 3 bytes each
    text = traitlets.Unicode("").tag(sync=True)
    split = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    prediction = traitlets.Unicode("").tag(sync=True)
    right = traitlets.Unicode("").tag(sync=True)
    sort = traitlets.Unicode("").tag(sync=True)
    map = traitlets.Unicode("").tag(sync=True)
    colours = traitlets.Unicode("").tag(sync=True)
    scale = traitlets.Unicode("").tag(sync=True)
    opacity = traitlets.Float(0.75, min=0.0, max=1.0).tag(sync=True)
    row = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, subject: WidgetSource, most: int) -> None:
        self._subject = subject
        held = held_of(subject, most)
        self.set_trait("table", held.table)  # before the page is told of anything
        self.set_trait("pictures", held.pictures)
        self.set_trait("maps", held.maps)
        self.set_trait("tables", held.colours)
        names = [one["name"] for one in held.table["maps"]]
        super().__init__(map=names[0] if names else "", colours=held.table["bold"], opacity=held.table["opacity"])

    @property
    def rows(self) -> list[int]:
        """The numbers of the images that are shown, in their order: `explanation[page.rows[0]]` is the first."""
        state = {name: getattr(self, name) for name in FILTERS}
        return [self.table["rows"][place] for place in shown(self.table, state)]

    @traitlets.validate("split", "label", "prediction", "right", "sort", "map", "colours", "scale", "row")
    def _known(self, proposal: Any) -> Any:
        """A value that the page has; raises OptionError that names the nearest."""
        name, value = proposal["trait"].name, proposal["value"]
        if name == "row":
            allowed = [None, *self.table["rows"]]
        elif name == "map":
            allowed = [one["name"] for one in self.table["maps"]] or [""]
        else:
            fixed = {"right": RIGHT, "sort": SORTS, "colours": COLOURS, "scale": ("", "common")}
            allowed = list(fixed.get(name) or ("", *self.table["choices"][name]))
        if value in allowed:
            return value
        words = [str(one) for one in allowed if one not in ("", None)]
        close = nearest(str(value), words)
        raise OptionError(f"{name} is {value!r}, but must be one of: {listed(words) or 'nothing'}. {close}".rstrip())

    def __repr__(self) -> str:
        return f"<Images: {self.table['said']}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and the contact sheet for whatever shows the notebook without widgets."""
        bundle = super()._repr_mimebundle_(**options)
        data, *rest = bundle if isinstance(bundle, tuple) else (bundle,)
        sheet = self._subject.sheet() if data else None
        if sheet is None:
            return bundle
        data = {**data, "image/jpeg": base64.b64encode(sheet._repr_jpeg_()).decode()}
        return (data, *rest) if rest else data
