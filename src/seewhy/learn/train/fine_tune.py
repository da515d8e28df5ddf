"""Fine-tuning a copy of a network: as it is, with an exchange mixed in, held to answer as before it, or by any loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase  # all that keep running statistics

from seewhy.cam.model import logits_of, untouched
from seewhy.cam.scores.targets import two_sided
from seewhy.errors import ModelError, SeewhyError, WorkError
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.copies import copied
from seewhy.learn.exchange.exchange import Exchanging
from seewhy.learn.train.job import batches_of, settle
from seewhy.run.machine import out_of_memory

Losing = Callable[[nn.Module, Tensor, torch.Generator], Tensor]  # the loss of a network in training, from places (n,)


@dataclass(frozen=True)
class Tuning:
    """How a copy is fine-tuned: passes over the images, images a step, Adam's rate.

    `share` of the images of a batch get the exchange, where there is one. With `consistency` above 0 every image goes
    through the network twice, as it is and exchanged, and that many times the divergence KL(as it is || exchanged) of
    both answers is added to the loss. `views` counts passes per image: a control arm without an exchange sees each
    image as often.
    """

    epochs: int = 12
    batch_size: int = 32
    rate: float = 3e-4
    share: float = 0.5
    consistency: float = 0.0

    @property
    def views(self) -> int:
        """How often an image goes through the network in an epoch."""
        return 2 if self.consistency else 1


def fine_tuned(
    network: nn.Module,
    sample: Sample,
    tuning: Tuning,
    *,
    exchange: Exchanging | None = None,
    loss: Losing | None = None,
    seed: int = 0,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> nn.Module:
    """A copy of the network, fine-tuned on the sample's images with Adam; in eval mode, the network left as found.

    `loss` of a batch stands in place of the cross-entropy with or without an exchange. Of two arms with one seed,
    images come in the same order. `memory_format` is how the weights are laid out meanwhile: channels last takes about
    a quarter less time on a CPU, where the network's own code does not mind. Raises ModelError where the network cannot
    be trained, WorkError where the loss is no number any more or memory does not reach.
    """
    losing = loss or partial(_loss, sample=sample, tuning=tuning, exchange=exchange)
    tuned = _laid_out(copied(network), memory_format)
    parameters = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    if not parameters:
        raise ModelError(f"{type(network).__name__} has no parameter to train: all are frozen.", slug="cannot-train")
    optimizer = torch.optim.Adam(parameters, lr=tuning.rate)
    with untouched(nn.Identity()), torch.inference_mode(False), torch.enable_grad():  # which puts random states back
        settle(seed, "fine-tuning", torch.device("cpu"))
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        _in_training(tuned)
        try:
            for places in _batches(len(sample), tuning, exchange, seed):
                value = losing(tuned, places, generator)
                if not bool(torch.isfinite(value)):
                    raise _diverged(tuning)
                optimizer.zero_grad()
                torch.autograd.backward(value)
                optimizer.step()
        except SeewhyError:
            raise
        except Exception as error:  # of the network's own code
            full = out_of_memory(error, tuning.batch_size)
            name = type(network).__name__
            words = f"{name} ran, but cannot be trained: {type(error).__name__}: {error}"
            raise full or ModelError(words, slug="cannot-train") from error
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        raise _diverged(tuning)
    return _laid_out(tuned, torch.contiguous_format).eval()


def _in_training(network: nn.Module) -> None:
    """Put the network in train mode, but for norms without a parameter to train: what they hold is frozen, too."""
    network.train()
    for module in network.modules():
        if isinstance(module, _NormBase) and not any(one.requires_grad for one in module.parameters()):
            module.eval()


def _laid_out(network: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """The network itself, its weights of four axes in this layout."""
    for value in (*network.parameters(), *network.buffers()):
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=memory_format)
    return network


def _batches(n_images: int, tuning: Tuning, exchange: Exchanging | None, seed: int) -> Iterator[Tensor]:
    """The places of each step; an arm without an exchange takes each image as often as one with it."""
    passes = tuning.epochs * (tuning.views if exchange is None else 1)
    for epoch in range(passes):
        for places in batches_of(n_images, tuning.batch_size, seed, epoch):
            yield torch.tensor(places)


def _loss(
    network: nn.Module,
    places: Tensor,
    generator: torch.Generator,
    *,
    sample: Sample,
    tuning: Tuning,
    exchange: Exchanging | None,
) -> Tensor:
    targets = torch.from_numpy(sample.labels)[places]
    canvases = sample.canvases(places)
    if exchange is None:
        return cross_entropy(logits_in_training(network, sample, canvases), targets)
    can = torch.from_numpy(exchange.eligible)[places]
    if tuning.consistency:
        changed = _with_exchange(canvases, places, can, exchange, generator)
        both = logits_in_training(network, sample, torch.cat([canvases, changed]))
        plain, exchanged = both.split(len(places))
        return cross_entropy(plain, targets) + tuning.consistency * _divergence(plain, exchanged)
    chosen = can & (torch.rand(len(places), generator=generator) < tuning.share)
    mixed = _with_exchange(canvases, places, chosen, exchange, generator)
    return cross_entropy(logits_in_training(network, sample, mixed), targets)


def _with_exchange(
    canvases: Tensor, places: Tensor, chosen: Tensor, exchange: Exchanging, generator: torch.Generator
) -> Tensor:
    """The canvases with the exchange in those that are chosen (n,)."""
    rows = torch.nonzero(chosen)[:, 0]
    donors = exchange.donors_for(places[rows], generator)
    if not len(rows):
        return canvases
    mixed = canvases.clone()
    mixed[rows.to(mixed.device)] = exchange.edited(places[rows], donors)
    return mixed


def logits_in_training(network: nn.Module, sample: Sample, canvases: Tensor) -> Tensor:
    """The logits (n, K), of a single one both sides (n, 2), in float32 or wider."""
    return logits_of_inputs(network, inputs_for(network, sample, canvases))


def inputs_for(network: nn.Module, sample: Sample, canvases: Tensor) -> Tensor:
    """The network's input (n, C, H, W) from canvases, which are given up."""
    like = next(parameter for parameter in network.parameters() if parameter.is_floating_point())
    return sample.inputs(canvases).to(like.device, like.dtype)


def logits_of_inputs(network: nn.Module, inputs: Tensor) -> Tensor:
    """As `logits_in_training`, of the network's own input."""
    logits = logits_of(network(inputs), len(inputs))
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return two_sided(logits) / 2 if logits.shape[1] == 1 else logits


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of logits (n, K), the targets (n,) being class indices."""
    return functional.cross_entropy(logits, targets.to(logits.device))


def _divergence(plain: Tensor, exchanged: Tensor) -> Tensor:
    """The mean KL divergence of the exchanged images' answers from the plain ones'."""
    return functional.kl_div(exchanged.log_softmax(1), plain.log_softmax(1), log_target=True, reduction="batchmean")


def _diverged(tuning: Tuning) -> WorkError:
    return WorkError(
        f"The loss of the fine-tuning became NaN or infinite.\n  Take smaller steps, in a new folder:  "
        f"--rate {tuning.rate / 10:g} --out NAME",
        slug="diverged",
    )
