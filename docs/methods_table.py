"""The text of docs/methods.md, made of the catalogue; generate.py writes it."""

from __future__ import annotations

from seewhy.cam.methods.captum_calls import CAPTUM
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.methods.method import Method

HEAD = """# Methods

Made from `src/seewhy/cam/methods/catalogue.py`: `make docs`. `seewhy methods` prints the same.

Each is a name for `--method` (several by commas) and for `seewhy.explain(…, method=…)`; other spellings are understood
(`GradCAM++`, `ScoreCAM`). *Score's unit* says that the cells of a map are numbers in the unit of the score, so that a
peak can be judged against it, and the maps of two images compared. Cost is in passes over one image, with C channels of
the layer; a *small* backward pass goes from the score to the layer alone. What each shows of a half that a
network cannot see: [blind.md](blind.md). Which tells most of your network:
[methods-compare.md](methods-compare.md). How near they are to another package's: [equality.md](equality.md).

| name | what it shows | asked of | score's unit | cost | paper |
| --- | --- | --- | --- | --- | --- |
"""
CAPTUM_HEAD = """
Any attribution of captum (`pip install "seewhy[captum]"`), on the input's own pixels:

| name | what it shows | cost | paper |
| --- | --- | --- | --- |
"""
TAIL = """
Your own: `--method file.py:function` ([python.md](python.md#seewhyexplain)). Concepts in place of a score:
of one image `seewhy.cam.methods.concepts.image_concepts`, shared by a batch
`seewhy.cam.methods.factorization.factorize`. `--smooth augment` and `--smooth eigen` go with those of a layer.

Of four photographs (an eagle, a turtle, two dogs), efficientnet-lite0 and a block in the middle, `refine-cam`,
`is-cam`, `ss-cam` and `opti-cam` lie on the animal; the last three, of features of both signs, also on some of
what is around. `dff` lies on the animal at the last layer, as Grad-CAM does. In the middle its five concepts hold less
than half of the features' squares: there it was empty for the eagle, and for a dog lay on the plate behind it.

A small vision transformer that learned the colour of a square, 4 % of the picture, stuck on those photographs: of the
maps of its first block the square holds 63 to 97 % by `gradient-attention`, 18 to 41 % by `attention-rollout`, and 7 to
26 % by `legrad`, whose peak lies in it each time, above an even glow that most of the rest of the picture has.
"""
ASKED = {
    "gradient": "a layer",
    "activation": "a layer; no gradient, no class",
    "passes": "a layer, and further passes",
    "maps": "a layer",
    "places": "a layer, and further passes; no gradient",
    "head": "the layer whose means a linear head reads",
    "layers": "two layers or more",
    "attention": "a layer with tokens",
    "input": "the input",
    "laid": "a layer, laid on the input",
}


def page() -> str:
    """The page: every method, then captum's."""
    rows = [_row(name, method) for name, method in METHODS.items()]
    others = [
        f"| `captum:{name}` | {one.summary} | {one.cost} | {_paper(one.paper)} |"
        for name, one in sorted(CAPTUM.items())
    ]
    return HEAD + "\n".join(rows) + "\n" + CAPTUM_HEAD + "\n".join(others) + "\n" + TAIL


def _row(name: str, method: Method) -> str:
    unit = "yes" if method.in_score_units else ""
    seeded = "; by a seed" if method.seeded else ""
    cells = (f"`{name}`", method.summary + seeded, ASKED[method.kind], unit, method.cost, _paper(method.paper))
    return f"| {' | '.join(cell.replace('|gradient|', 'absolute gradient') for cell in cells)} |"


def _paper(paper: str) -> str:
    """The paper as a link where it has an address."""
    if paper.startswith("arXiv:"):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
    if paper.startswith("10."):
        return f"[doi:{paper}](https://doi.org/{paper})"
    return f"[{paper}](https://hal.science/{paper})" if paper.startswith("hal-") else paper
