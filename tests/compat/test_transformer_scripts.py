"""Scripts for transformers with a reshape function of their own: one text under both imports gives the same maps."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from tests.compat.peers import theirs

OURS = "seewhy.compat.pytorch_grad_cam"

VIT = """
import cv2
import numpy as np
import timm
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.utils.image import preprocess_image, show_cam_on_image

def reshape_transform(tokens, height=4, width=4):
    grid = tokens[:, 1:, :].reshape(tokens.size(0), height, width, tokens.size(2))
    return grid.transpose(2, 3).transpose(1, 2)  # channels first, as in a CNN

torch.manual_seed(0)
size = dict(img_size=64, depth=2, embed_dim=24, num_heads=3, num_classes=5)
model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **size).eval()
rgb_img = np.float32(cv2.resize(np.random.default_rng(0).random((7, 7, 3)), (64, 64)))
input_tensor = preprocess_image(rgb_img, mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
maps, pictures = {}, {}
for method in (GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM, ScoreCAM):
    cam = method(model=model, target_layers=[model.blocks[-1].norm1], reshape_transform=reshape_transform)
    cam.batch_size = 32
    grayscale_cam = cam(input_tensor=input_tensor, targets=None, eigen_smooth=False, aug_smooth=method is GradCAM)
    maps[method.__name__] = grayscale_cam[0, :]
    pictures[method.__name__] = show_cam_on_image(rgb_img, grayscale_cam[0, :])
"""

CLIP = """
import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel
from pytorch_grad_cam import GradCAM, LayerCAM, XGradCAM

class ImageClassifier(nn.Module):
    '''Shares of some texts, told from their likeness to an image.'''

    def __init__(self):
        super(ImageClassifier, self).__init__()
        small = dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
        text = dict(small, vocab_size=50, max_position_embeddings=8, bos_token_id=0, eos_token_id=1)
        vision = dict(small, image_size=32, patch_size=8)
        self.clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
        self.texts = torch.tensor([[0, 5, 9, 1], [0, 7, 3, 1], [0, 2, 8, 1]])

    def forward(self, x):
        outputs = self.clip(pixel_values=x, input_ids=self.texts, attention_mask=torch.ones_like(self.texts))
        return outputs.logits_per_image.softmax(dim=1)

def reshape_transform(tensor, height=4, width=4):
    result = tensor[:, 1:, :].reshape(tensor.size(0), height, width, tensor.size(2))
    return result.permute(0, 3, 1, 2)

torch.manual_seed(0)
model = ImageClassifier().eval()
layers = [model.clip.vision_model.encoder.layers[-1].layer_norm1]
x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
maps, pictures = {}, {}
for method in (GradCAM, LayerCAM, XGradCAM):
    maps[method.__name__] = method(model=model, target_layers=layers, reshape_transform=reshape_transform)(x, None)
"""


def run(text: str, package: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(re.sub(r"\bpytorch_grad_cam\b", package, text), f"<{package}>", "exec"), names)
    return names


@pytest.mark.parametrize(("text", "needs"), [(VIT, "timm"), (CLIP, "transformers")], ids=["ViT", "CLIP"])
def test_both_imports_give_the_same_maps(text: str, needs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(needs, reason=f"{needs} is not installed (requirements-dev.txt, requirements-parity.txt)")
    if needs == "transformers":
        from transformers import CLIPModel  # noqa: F401 -- loaded lazily, with what it imports of tqdm
    monkeypatch.setattr("tqdm.tqdm", lambda steps: steps)
    ours, want = run(text, OURS), run(text, theirs.__name__)
    torch.testing.assert_close(list(ours["model"].parameters()), list(want["model"].parameters()), rtol=0, atol=0)
    for name, maps in want["maps"].items():
        apart = np.abs(ours["maps"][name] - maps)
        assert maps.max() > 0.5 and np.percentile(apart, 95) <= 1e-5, (name, apart.max())
    for name, picture in want["pictures"].items():
        apart = np.abs(np.int32(ours["pictures"][name]) - np.int32(picture))
        assert (apart > 1).mean() <= 1e-3, name
