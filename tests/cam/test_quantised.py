"""Quantised networks: told as such, with what to explain instead; maps without gradients where there is a grid."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import ModelError
from tests.models import FourConv, images, seeded

pytestmark = pytest.mark.filterwarnings("ignore")


class Stubbed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dequant(self.fc(self.conv(self.quant(x)).relu().mean((2, 3))))
        return logits


def static() -> nn.Module:
    network = seeded(Stubbed()).eval()
    network.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
    torch.ao.quantization.prepare(network, inplace=True)
    network(images(4))
    torch.ao.quantization.convert(network, inplace=True)
    return network


def dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(seeded(FourConv()).eval(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize("make", [static, dynamic])
@pytest.mark.parametrize("call", [seewhy.explain, seewhy.check], ids=["explain", "check"])
def test_a_quantised_network_is_told_as_such(make: object, call: object) -> None:
    if torch.backends.quantized.engine == "none":
        pytest.skip("this torch has no quantised kernels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = make()  # type: ignore[operator]
        with pytest.raises(ModelError, match=r"is quantised: .*no gradient(.|\n)*Explain the network that it was made"):
            call(network, images(4), progress=False)  # type: ignore[operator]


def test_maps_without_gradients_are_those_of_the_network_it_was_made_from() -> None:
    if torch.backends.quantized.engine == "none":
        pytest.skip("this torch has no quantised kernels")
    options = {"method": "eigen-cam", "layers": "conv2", "progress": False}
    got, wanted = (seewhy.explain(network, images(4), **options) for network in (dynamic(), seeded(FourConv())))
    np.testing.assert_allclose(got.maps, wanted.maps, rtol=1e-4, atol=1e-6)
