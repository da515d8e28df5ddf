"""Watched trainings: what is written is what the watch measured, and the network and its training are as without."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import seewhy
from seewhy.errors import OptionError
from seewhy.integrations import pace
from seewhy.integrations.export import export
from seewhy.integrations.finished import contents_of
from seewhy.integrations.loggers import logger_of
from seewhy.integrations.loop import log_epoch
from seewhy.integrations.pace import Pace
from tests.integrations.conftest import CLASSES
from tests.learn.test_watch import Corner


def watch_of(corners: Path, **options: Any) -> seewhy.Watch:
    few = {"images": 10, "donors": 10, "probes": 3}
    return seewhy.Watch(corners, factors=["top-left"], classes=CLASSES, size=(32, 32), **{**few, **options})


def batches() -> DataLoader[Any]:
    images = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(12) % 2), batch_size=6)


def probes_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "probes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_loop_of_ones_own_gets_rows_overlays_and_effects(corners: Path, tmp_path: Path) -> None:
    watch, model = watch_of(corners, every=2), Corner()
    told = [log_epoch(watch, model, epoch, out=tmp_path / "w", share=None) for epoch in range(3)]
    assert [content is None for content in told] == [False, True, False]
    rows = probes_in(tmp_path / "w")
    assert [row["epoch"] for row in rows] == ["0"] * 3 + ["2"] * 3
    assert tuple(row["id"] for row in rows[:3]) == watch.probes
    for place, row in enumerate(rows[3:]):
        assert float(row["peak"]) == pytest.approx(float(watch.maps[2][place].max()), rel=1e-6)
        assert (tmp_path / "w" / row["overlay"]).read_bytes() == watch.probed[place].overlay
    stored = contents_of(tmp_path / "w")
    assert [content.step for content in stored] == [0, 2]
    assert stored[1].effects[0].effect == pytest.approx(watch.rows[1].effect)
    export(tmp_path / "w", "csv", str(tmp_path / "csv"))
    assert len(list((tmp_path / "csv" / "overlays").rglob("*.jpg"))) == 6


def test_begun_again_the_rows_of_later_epochs_are_replaced(corners: Path, tmp_path: Path) -> None:
    for _ in range(2):
        watch = watch_of(corners)
        log_epoch(watch, Corner(), 0, out=tmp_path)
        log_epoch(watch, Corner(), 1, out=tmp_path, share=None)
    assert [row["epoch"] for row in probes_in(tmp_path)] == ["0"] * 3 + ["1"] * 3


def test_epochs_that_would_cost_more_than_the_share_are_passed_over_and_it_is_said_once(
    corners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class Slow(seewhy.Watch):
        def __call__(self, *args: Any) -> Any:
            now[0] += 1.0
            return super().__call__(*args)

    watch = Slow(corners, factors=["top-left"], classes=CLASSES, size=(32, 32), images=10, donors=10, probes=3)
    clock = Pace(lambda: now[0])
    monkeypatch.setitem(pace._paces, watch, clock)
    measured = []
    with pytest.warns(UserWarning, match=r"Epoch 1 is not measured: that takes 1 s.*2 %.*share=None") as said:
        for epoch in range(6):
            measured.append(log_epoch(watch, Corner(), epoch, out=tmp_path) is not None)
            now[0] += 60.0
    assert measured == [True, False, True, True, True, True] and len(said) == 1
    assert (clock.spent_s, clock.trained_s) == (5.0, 300.0)  # 1.7 %
    with pytest.raises(OptionError, match="share is 2, but must be more than 0 and at most 1"):
        log_epoch(watch, Corner(), 9, out=tmp_path, share=2)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_where_gradients_are_off_the_same_is_measured(corners: Path, tmp_path: Path, around: Any) -> None:
    plain, inside = watch_of(corners), watch_of(corners)
    model = Corner().train()
    log_epoch(plain, model, 0, out=tmp_path / "a")
    with around():
        log_epoch(inside, model, 0, out=tmp_path / "b")
        assert not torch.is_grad_enabled()
    assert inside.rows == plain.rows and (inside.maps[0] == plain.maps[0]).all()
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_a_tracker_that_fails_ends_no_training_and_is_told_how_to_go_on(corners: Path, tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="the package tensorboard is not installed")

    class Broken(tensorboard.SummaryWriter):
        def add_scalar(self, *args: Any, **kwargs: Any) -> None:
            raise ConnectionError("the server is away")

    writer = Broken(str(tmp_path / "events"))
    with pytest.warns(UserWarning, match=r"Broken did not take the epoch \(ConnectionError[\s\S]*seewhy export"):
        log_epoch(watch_of(corners), Corner(), 0, out=tmp_path / "w", to=[writer])
    writer.close()
    assert probes_in(tmp_path / "w")
    with pytest.raises(OptionError, match="is no logger that is known"):
        logger_of(3)


def test_lightning_trains_the_same_network_and_fills_its_own_tensorboard(corners: Path, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="the package lightning is not installed")
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from seewhy.integrations.lightning import Explain

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Corner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        def training_step(self, batch: Any, place: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, place: int) -> None:
            self.log("loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def trained(*callbacks: Any) -> tuple[Module, Any]:
        torch.manual_seed(0)
        module = Module()
        logger = lightning.loggers.TensorBoardLogger(str(tmp_path), name=f"logs{len(callbacks)}")
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=logger,
            callbacks=list(callbacks),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, batches(), batches())
        return module, trainer

    without, _ = trained()
    watch = watch_of(corners)
    module, trainer = trained(Explain(watch, tmp_path / "w", share=None))
    assert all(map(torch.equal, module.state_dict().values(), without.state_dict().values()))
    assert [row.epoch for row in watch.rows] == [0, 1] and len(probes_in(tmp_path / "w")) == 6
    events = EventAccumulator(trainer.logger.log_dir).Reload()
    row = watch.rows[1]
    point = events.Scalars(f"seewhy/{row.factor}/{row.contrast}/effect")[1]
    assert (point.step, point.value) == (1, pytest.approx(row.effect, abs=1e-6))
    assert any(name.startswith("seewhy/") for name in events.Tags()["images"])
    alone = watch_of(corners)
    with warnings.catch_warnings():  # validating alone switches gradients off
        warnings.simplefilter("ignore")
        quiet = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu"}
        lightning.Trainer(**quiet, callbacks=[Explain(alone, tmp_path / "v", network="net")]).validate(
            module, batches(), verbose=False
        )
    assert len(alone.rows) == 1 and (alone.maps[0] == watch.maps[1]).all()


def test_the_trainer_of_transformers_calls_it_after_each_epoch(corners: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    pytest.importorskip("accelerate", reason="the package accelerate, which transformers' Trainer needs, is missing")
    from seewhy.integrations.transformers import Explain

    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=2)
    items = [{"pixel_values": image, "labels": label} for image, label in batches().dataset]
    watch = watch_of(corners)

    def trained(callbacks: list[Any]) -> nn.Module:
        torch.manual_seed(0)
        model = transformers.ResNetForImageClassification(config)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            num_train_epochs=2,
            per_device_train_batch_size=6,
            report_to=["tensorboard"],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            transformers.Trainer(model, arguments, train_dataset=items, callbacks=callbacks).train()
        return model

    without, model = trained([]), trained([Explain(watch, tmp_path / "w", share=None)])
    assert all(map(torch.equal, model.state_dict().values(), without.state_dict().values()))
    assert [row.epoch for row in watch.rows] == [0, 1] and len(probes_in(tmp_path / "w")) == 6
    assert list((tmp_path / "w" / "tensorboard").glob("events*"))
