"""A CAM inside of a validation step that Lightning runs: gradients are off there, and training goes on as without."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.compat.pytorch_grad_cam import GradCAM
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.models import Pooled, images, seeded


def test_lightnings_own_validation_step() -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="the package lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self, *, explained: bool) -> None:
            super().__init__()
            self.net, self.explained = seeded(Pooled()), explained
            self.seen: list[tuple[np.ndarray, np.ndarray]] = []

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, place: int) -> Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, place: int) -> None:
            assert not torch.is_grad_enabled()
            if self.explained:
                targets = [ClassifierOutputTarget(int(label)) for label in batch[1]]
                with GradCAM(model=self.net, target_layers=[self.net.block]) as cam:
                    found = cam(input_tensor=batch[0], targets=targets)
                with torch.inference_mode(False), torch.enable_grad():
                    self.seen.append((found, GradCAM(self, [self.net.block])(batch[0].clone(), targets)))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def trained(explained: bool) -> Any:
        module = Module(explained=explained)
        data = torch.utils.data.DataLoader([(image, place % 3) for place, image in enumerate(images(4))], batch_size=2)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, **quiet).fit(module, data, data)
        return module

    plain, module = trained(False), trained(True)
    assert all(map(torch.equal, plain.state_dict().values(), module.state_dict().values()))
    assert len(module.seen) >= 2
    for found, again in module.seen:
        assert found.shape == (2, 32, 32)
        np.testing.assert_allclose(found, again, atol=1e-6)
