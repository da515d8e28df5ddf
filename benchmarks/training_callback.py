"""What a watched training costs: the same training with and without the callback, in turn, by each framework.

training_callback.py [loop lightning transformers] [--rounds 3] [--epochs 8] [--images 2000]. Watch and callback have
their defaults, one factor is named. Both must end with the same weights to the bit, else nothing is printed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import PIL.Image
import torch
import torchvision_shim  # noqa: F401 -- before lightning, which loads torchvision
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import seewhy
from seewhy.integrations import pace

SIZE = 64
Weights = dict[str, torch.Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    widths, layers = (3, 32, 64, 128), []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 2))


def folder_of(home: Path) -> Path:
    """The images that are watched: 150 of each class, written as files."""
    random = np.random.default_rng(0)
    for number in range(300):
        path = home / "valid" / ("cat", "dog")[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    return home


def images_of(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand(count, 3, SIZE, SIZE, generator=generator), torch.arange(count) % 2)


def by_loop(images: TensorDataset, epochs: int, watch: seewhy.Watch | None, home: Path) -> Weights:
    from seewhy.integrations.loop import log_epoch

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        for pictures, labels in DataLoader(images, 32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pictures), labels).backward()
            optimizer.step()
        if watch is not None:
            log_epoch(watch, model, epoch, out=home / "watch")
    return model.state_dict()


def by_lightning(images: TensorDataset, epochs: int, watch: seewhy.Watch | None, home: Path) -> Weights:
    import lightning

    from seewhy.integrations.lightning import Explain

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, pictures: torch.Tensor) -> Any:
            return self.net(pictures)

        def training_step(self, batch: Any, place: int) -> Any:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    module, quiet = Module(), ("enable_progress_bar", "enable_checkpointing", "enable_model_summary", "logger")
    callbacks = [] if watch is None else [Explain(watch, home / "watch")]
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callbacks, **dict.fromkeys(quiet, False)
    )
    trainer.fit(module, DataLoader(images, 32))
    weights: Weights = module.net.state_dict()
    return weights


class Pictures(nn.Module):
    """The network as transformers calls it: by keywords, with the loss first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        logits = self.net(pixel_values)
        return (
            {"logits": logits}
            if labels is None
            else {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}
        )


def by_transformers(images: TensorDataset, epochs: int, watch: seewhy.Watch | None, home: Path) -> Weights:
    import transformers

    from seewhy.integrations.transformers import Explain

    arguments = transformers.TrainingArguments(
        output_dir=str(home / "out"), num_train_epochs=epochs, per_device_train_batch_size=32, report_to=[],
        save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    items = [{"pixel_values": picture, "labels": label} for picture, label in images]
    model, callbacks = Pictures(), [] if watch is None else [Explain(watch, home / "watch")]
    transformers.Trainer(model, arguments, train_dataset=items, callbacks=callbacks).train()
    return model.net.state_dict()


KINDS: dict[str, Callable[..., Weights]] = {"loop": by_loop, "lightning": by_lightning, "transformers": by_transformers}


def measured(kind: str, images: TensorDataset, epochs: int, data: Path, *, watched: bool) -> dict[str, Any]:
    watch = seewhy.Watch(data, factors=["border"], size=(SIZE, SIZE), classes=["cat", "dog"]) if watched else None
    with tempfile.TemporaryDirectory() as home:
        wall, cpu = time.perf_counter(), time.process_time()
        weights = KINDS[kind](images, epochs, watch, Path(home))
        found = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "weights": weights}
    if watch is not None:
        own = pace._paces[watch]
        found |= {
            "spent_s": own.spent_s,
            "trained_s": own.trained_s,
            "epochs": sorted({row.epoch for row in watch.rows}),
        }
    return found


def compare(kind: str, images: TensorDataset, rounds: int, epochs: int, data: Path) -> None:
    pairs = []
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        found = {watched: measured(kind, images, epochs, data, watched=watched) for watched in order}
        without, watched = found[False], found[True]
        if not all(map(torch.equal, without["weights"].values(), watched["weights"].values())):
            raise SystemExit(f"{kind}: the watched training ended with other weights")
        pairs.append((without, watched))
        print(
            f"{kind} {number + 1}/{rounds}: processor {without['cpu_s']:.1f} s without, {watched['cpu_s']:.1f} s with; "
            f"wall {without['wall_s']:.1f} and {watched['wall_s']:.1f} s; epochs measured {watched['epochs']}, "
            f"in them {watched['spent_s']:.2f} s, between them {watched['trained_s']:.1f} s",
            flush=True,
        )
    ratios = sorted(watched["cpu_s"] / without["cpu_s"] for without, watched in pairs)
    print(
        f"{kind}: processor with / without: median {median(ratios):.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}]", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    for name, value in {"rounds": 3, "epochs": 8, "images": 2000}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    images = images_of(asked.images)
    with tempfile.TemporaryDirectory() as home:
        data = folder_of(Path(home))
        for kind in asked.kinds:
            compare(kind, images, asked.rounds, asked.epochs, data)


if __name__ == "__main__":
    main()
