"""Which outputs have places, how they are seen, and what a user types where it cannot be inferred."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.grid import Grid, read_grid
from seewhy.cam.layers.calls import trace_any
from seewhy.cam.layers.inferred import Call, grid_of
from seewhy.errors import LayerError, OptionError
from tests.models import images


def grids(model: nn.Module, inputs: Tensor) -> dict[str, Grid | None]:
    return {call.name: call.grid for call in trace_any(model.eval(), inputs)[0]}


class Tokens(nn.Module):
    """Patches as tokens behind `special` others, attention over them; what each step gives is a call."""

    def __init__(self, special: int = 1, patch: int = 8, functional: bool = False) -> None:
        super().__init__()
        self.patches = nn.Unfold(patch, stride=patch) if functional else nn.Conv2d(3, 12, patch, stride=patch)
        self.embed = nn.Linear(3 * patch**2 if functional else 12, 12)
        self.special = nn.Parameter(torch.randn(1, special, 12, generator=torch.Generator().manual_seed(0)))
        self.norm = nn.LayerNorm(12)
        self.scores = nn.Softmax(dim=-1)
        self.values = nn.Identity()
        self.merge = nn.Identity()
        self.sequence = nn.Conv1d(12, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(self.patches(x).flatten(2).transpose(1, 2))  # (N, T, C)
        x = self.norm(torch.cat([self.special.expand(len(x), -1, -1), x], dim=1))
        heads = x.unflatten(2, (3, 4)).transpose(1, 2)  # (N, heads, T, 4)
        scores = self.scores(heads @ heads.transpose(2, 3))
        x = self.merge((scores @ self.values(heads)).transpose(1, 2).flatten(2))
        return self.sequence(x.transpose(1, 2)).mean(2)


@pytest.mark.parametrize("special", [0, 1, 2, 5])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 48), (40, 24)])
def test_tokens_behind_special_ones_are_seen_row_by_row(special: int, height: int, width: int) -> None:
    inputs = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    found = grids(Tokens(special), inputs)
    expected = Grid(height // 8, width // 8, "tokens", special)
    assert found["norm"] == found["merge"] == expected
    assert found["patches"] == Grid(height // 8, width // 8)
    assert found["scores"] is found["values"] is found["sequence"] is None


def test_without_a_convolution_the_patches_of_the_input_are_counted() -> None:
    found = grids(Tokens(1, functional=True), torch.rand(1, 3, 32, 48))
    assert found["embed"] == Grid(4, 6, "tokens") and found["norm"] == Grid(4, 6, "tokens", 1)


def test_attention_over_places_as_many_as_a_grid_is_none() -> None:
    # 16 tokens of a 4 x 4 grid behind a 16 x 16 one: (N, heads, 16, 16) has the earlier grid's size.
    model = nn.Sequential(nn.Conv2d(3, 12, 2, stride=2), nn.Conv2d(12, 3, 3, stride=2, padding=1), Tokens(0, 2))
    found = grids(model, images(1))
    assert found["0"] == Grid(16, 16) and found["2.norm"] == Grid(4, 4, "tokens")
    assert found["2.scores"] is None


class Stages(nn.Module):
    """Channels last, as in Swin and ConvNeXt, merged by functional code."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.act = nn.GELU()
        self.merge = nn.Linear(32, 16)
        self.back = nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x).permute(0, 2, 3, 1)))
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=3)
        return self.pool(self.back(self.merge(x).permute(0, 3, 1, 2))).flatten(1)


def test_channels_last_and_their_halvings() -> None:
    found = grids(Stages(), torch.rand(1, 3, 32, 48))
    assert found["norm"] == found["act"] == Grid(8, 12, "channels-last")
    assert found["merge"] == Grid(4, 6, "channels-last")
    assert found["back"] == Grid(4, 6)  # the pool that reads it proves where its channels are


@pytest.mark.parametrize(
    ("grid", "shape"),
    [(Grid(4, 5), (2, 3, 4, 5)), (Grid(4, 5, "channels-last"), (2, 4, 5, 3)), (Grid(4, 5, "tokens", 2), (2, 22, 3))],
    ids=["first", "last", "tokens"],
)
def test_a_view_puts_channels_first_without_a_copy(grid: Grid, shape: tuple[int, ...]) -> None:
    raw = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)
    seen = grid.view(raw)
    assert seen.shape == (2, 3, 4, 5) and seen.untyped_storage().data_ptr() == raw.untyped_storage().data_ptr()
    assert raw.shape[grid.channel_axis] == 3
    at = {"channels-first": (1, 2, 3, 4), "channels-last": (1, 3, 4, 2), "tokens": (1, 2 + 3 * 5 + 4, 2)}[grid.layout]
    assert seen[1, 2, 3, 4] == raw[at]


def test_a_grid_that_cannot_be_inferred_shows_the_shape_and_the_option() -> None:
    model = Tokens(1)
    inputs = torch.rand(1, 3, 32, 32)
    calls, _ = trace_any(model.eval(), inputs)
    assert grid_of(next(call for call in calls if call.name == "norm"), inputs.shape).skipped == 1
    sequence = next(call for call in calls if call.name == "sequence")
    with pytest.raises(LayerError, match=r"'sequence' gives shape \(1, 12, 17\)(?s:.)*--grid 3x3"):
        grid_of(sequence, inputs.shape)
    scores = next(call for call in calls if call.name == "scores")
    with pytest.raises(LayerError, match=r"\(1, 3, 17, 17\)(?s:.)*--grid channels-first  or  --grid channels-last"):
        grid_of(scores, inputs.shape)
    head = Call("head", "Linear", (1, 12), (1, 4), True, False, True)
    with pytest.raises(LayerError, match=r"\(1, 4\)(?s:.)*seewhy layers"):
        grid_of(head, inputs.shape)


@pytest.mark.parametrize(
    ("text", "shape", "grid"),
    [
        ("14x14", (1, 197, 192), Grid(14, 14, "tokens", 1)),
        ("8x12", (1, 96, 5), Grid(8, 12, "tokens")),
        (" 7 X 7 ", (1, 7, 7, 96), Grid(7, 7, "channels-last")),
        ("channels-last", (1, 8, 8, 8), Grid(8, 8, "channels-last")),
        ("8x8 channels-first", (1, 8, 8, 8), Grid(8, 8)),
    ],
)
def test_a_named_grid_is_read(text: str, shape: tuple[int, ...], grid: Grid) -> None:
    assert read_grid(text, shape) == grid


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        ("14 by 14", (1, 197, 192), "'14 by 14' is no grid"),
        ("", (1, 197, 192), "is no grid"),
        ("15x15", (1, 197, 192), r"\(1, 197, 192\), and '15x15' does not fit it(?s:.)*--grid 14x14"),
        ("channels-first", (1, 197, 192), "does not fit it"),
        ("8x8", (1, 8, 8, 8), "fits it in two ways(?s:.)*--grid channels-first"),
        ("0x9", (1, 197, 192), "does not fit it"),
    ],
)
def test_a_named_grid_that_does_not_fit_is_refused(text: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        read_grid(text, shape)
