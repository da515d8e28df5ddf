"""Where the places stand among tokens: the maps of a transformer are its own, wherever its class token is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy import explain
from seewhy.cam.grid import Grid
from seewhy.cam.layers.calls import trace
from seewhy.errors import LayerError
from tests.models import images, seeded

HEIGHT, WIDTH = 4, 6
PATCHES = HEIGHT * WIDTH
# By name: how special tokens are put to those of the image, where the class token is then, and how many are in front.
ORDERS: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], list[Tensor]], int, int]] = {
    "class token first": (lambda token, registers, tokens: [token, tokens], 0, 1),
    "class token last": (lambda token, registers, tokens: [tokens, token], -1, 0),
    "registers behind": (lambda token, registers, tokens: [token, tokens, registers], 0, 1),
    "registers in front": (lambda token, registers, tokens: [token, registers, tokens], 0, 4),
    "all behind": (lambda token, registers, tokens: [tokens, registers, token], -1, 0),
}


class Transformer(nn.Module):
    """Patches of 8 pixels, overlapping or not, special tokens, two blocks of attention, the class token's answer."""

    def __init__(self, order: str, overlap: int = 0, by: str = "rows") -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8 + 2 * overlap, stride=8, padding=overlap)
        self.token, self.registers = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 3, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(layer, nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)
        self.order, self.by = order, by

    def forward(self, x: Tensor) -> Tensor:
        places = self.patches(x)
        if self.by == "columns":
            places = places.transpose(2, 3)
        if self.by == "windows":  # of two by two, one after the other
            places = places.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).transpose(3, 4)
        tokens = places.flatten(2).transpose(1, 2)
        special = (part.expand(len(x), -1, -1) for part in (self.token, self.registers))
        joined, at, _ = ORDERS[self.order]
        return self.head(self.norm(self.blocks(torch.cat(joined(*special, tokens), 1)))[:, at])


def picture() -> Tensor:
    return torch.rand(2, 3, HEIGHT * 8, WIDTH * 8, generator=torch.Generator().manual_seed(3))


def by_hand(model: Transformer, x: Tensor, skipped: int) -> Tensor:
    """HiResCAM of class 1 at the first block, by autograd alone."""
    kept: list[Tensor] = []
    handle = model.blocks[0].register_forward_hook(lambda module, args, output: kept.append(output))
    score = model(x)[:, 1].sum()
    handle.remove()
    (activation,) = kept
    (slope,) = torch.autograd.grad(score, activation)
    product = (activation * slope).sum(2)[:, skipped : skipped + PATCHES]
    return product.reshape(len(x), HEIGHT, WIDTH).detach()


@pytest.mark.parametrize("overlap", [0, 4])
@pytest.mark.parametrize("order", ORDERS)
def test_maps_lie_where_the_patches_are_wherever_special_tokens_stand(order: str, overlap: int) -> None:
    model, x = seeded(Transformer(order, overlap)), picture()
    skipped = ORDERS[order][2]
    explanation = explain(model, x, layers="blocks.0", method="hirescam", target=1, progress=False)
    want = by_hand(model, x, skipped).numpy()
    assert np.abs(explanation.maps - want).max() <= 1e-5 * np.abs(want).max()
    named = explain(model, x, layers="blocks.0", method="hirescam", target=1, grid="4x6", progress=False)
    assert np.array_equal(named.maps, explanation.maps)
    calls = trace(model, x[:1])
    assert {call.grid.skipped for call in calls if call.grid and call.grid.layout == "tokens"} == {skipped}


@pytest.mark.parametrize("by", ["columns", "windows"])
def test_tokens_that_do_not_go_row_by_row_have_no_grid(by: str) -> None:
    model, x = seeded(Transformer("class token first", by=by)), picture()
    with pytest.raises(LayerError, match="no grid of places can be inferred"):
        explain(model, x, layers="blocks.0", method="hirescam", target=1, progress=False)


class Alone(Transformer):
    """A transformer that takes one image at a time."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            raise ValueError("one image, please")
        return super().forward(x)


def test_where_nothing_is_told_special_tokens_stand_in_front() -> None:
    calls = trace(seeded(Alone("class token first")), picture()[:1])
    assert {call.grid for call in calls if call.grid and call.grid.layout == "tokens"} == {
        Grid(HEIGHT, WIDTH, "tokens", 1)
    }


def test_the_network_is_left_as_it_was() -> None:
    model = seeded(Transformer("class token last")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(model, images(1, 32))
    assert model.training and not model.blocks[0]._forward_hooks and torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
