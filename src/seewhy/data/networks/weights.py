"""Weights from a file into a network: state dicts only, no code from a file ever runs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from seewhy.data.formats.missing import nearest_paths
from seewhy.data.networks.gated import GATE, gates_in, with_gates
from seewhy.data.networks.inert import read_inert
from seewhy.errors import WeightsError, first_line, listed, nearest

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "params")
_NO_WEIGHTS = (
    "optimizer",
    "optimizers",
    "optim",
    "opt",
    "lr",
    "scheduler",
    "scaler",
    "loops",
    "callbacks",
    "amp",
    "rng",
)
_SAVE = "torch.save(model.state_dict(), 'weights.pt')"


def load_weights(model: nn.Module, weights: Path, epoch: int | None = None, key: str | None = None) -> list[str]:
    """Load the state dict in `weights` into `model`, and what had to be said about it.

    `weights` is a file, or a directory in the layout DIR/<class>/model_<epoch>.pt or DIR/model_<epoch>.pt, from which
    `epoch` (the last one where None) is taken. `key` names one of several sets in it (state_dict_ema). Raises
    WeightsError naming missing, unexpected and mis-shaped keys.
    """
    notes = []
    if weights.is_dir():
        weights, note = _epoch_file(weights, type(model).__name__, epoch)
        notes.append(note)
    elif epoch is not None:
        raise WeightsError(f"--epoch {epoch} needs a directory of checkpoints, but {weights} is not one.")
    if not weights.exists():
        raise WeightsError(f"There is no file {weights}.  {nearest_paths(weights)}", slug="no-such-file")
    if not weights.is_file():  # a pipe or a device, which may have no end
        raise WeightsError(f"{weights} is no regular file.", slug="no-such-file")
    expected = model.state_dict()
    state, said = read_state(weights, key, expected)
    notes += said
    whole = state
    state, stripped = _strip_prefix(whole, expected)
    if stripped:
        notes.append(f"The prefix {stripped!r} was taken off the keys of {weights.name}.")
        if left := [key for key in whole if not key.startswith(stripped)]:
            notes.append(f"{len(left)} keys of {weights.name} without that prefix were left out: {listed(left, 4)}.")
    gates = gates_in(state, model)
    expected |= {key: state[key] for name in gates for key in (f"{name}.{part}" for part in GATE)}
    _check(state, expected, weights, type(model).__name__)
    notes += _casts(state, expected, weights)
    if gates:
        notes.append(f"{weights.name} has a gate in front of {listed(gates)} (a repair by `gated`): it was put there.")
    with_gates(model, state).load_state_dict(
        state, strict=False
    )  # _check allows nothing to be missing but batch counters
    return notes


def read_state(
    path: Path, key: str | None = None, expected: Collection[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in a file, and what was unwrapped. Raises WeightsError for files that hold code or no tensors.

    Of several sets under names of the user's own the one with most of the `expected` keys is taken.
    """
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path), []
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}", slug="corrupt-weights") from error
    if _is_torchscript(path):
        raise WeightsError(
            f"{path} is a TorchScript archive, which is a program and not weights; seewhy does not run it.\n"
            f"  Save the weights where the network is made:  {_SAVE}",
            slug="torchscript",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols: what cannot be read is an error below
            content, left_out = read_inert(path)
    except Exception as error:  # bytes that are no checkpoint make the reader raise anything
        raise _unreadable(path, error) from error
    try:
        state, notes = _unwrapped(_as_mapping(content), path, key, expected)
    except WeightsError:
        if left_out and key is None:
            raise _carries_code(path, left_out[0]) from None
        raise
    if left_out:
        notes.append(f"{path.name} also holds objects that were left out, and not made: {listed(left_out, 4)}.")
    return state, notes


def _as_mapping(content: Any) -> Any:
    """What lies in a list or tuple by its place ("0"), as in  torch.save((model.state_dict(), settings), path)."""
    if isinstance(content, (list, tuple)) and any(isinstance(part, Mapping) for part in content):
        return {str(place): part for place, part in enumerate(content)}
    return content


def _fit(part: Mapping[Any, Any], expected: Collection[str]) -> int:
    """How many of the keys that a network expects a set of weights has, each with any words before it."""
    ends = {str(key) for key in part} | {str(key).partition(".")[2] for key in part}
    return len(ends.intersection(expected))


def _unwrapped(
    content: Any, path: Path, asked: str | None, expected: Collection[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in what a file holds: the one asked for, else that under a usual name; and what is said of it."""
    notes: list[str] = []
    inside = _state_dicts(content)
    usual = next((name for name in _WRAPPERS if name in inside), None)
    key = asked or usual or max(inside, key=lambda name: _fit(inside[name], expected), default=None)
    if asked is not None and asked not in inside:
        near = nearest(asked, inside)
        raise WeightsError(
            f"{path} holds no weights {asked!r}.  {near}".rstrip()
            + f"\n  It holds: {listed(inside) or 'one set alone'}."
        )
    if key is not None:
        is_lightning = "pytorch-lightning_version" in content and key == "state_dict"
        notes = [
            f"{path.name} is a Lightning checkpoint; its state_dict was taken."
            if is_lightning
            else f"The weights were taken from {f'place {key}' if key.isdecimal() else repr(key)} in {path.name}."
        ]
        if others := [name for name in inside if name != key]:
            notes.append(f"{path.name} also holds the weights {listed(others)}:  --weights-key {others[0]}")
        content = inside[key]
    if not isinstance(content, Mapping) or not content or not any(isinstance(v, Tensor) for v in content.values()):
        holds = listed(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise WeightsError(f"{path} holds no state dict (it holds: {holds}).\n  Save one with:  {_SAVE}")
    if any(isinstance(value, Tensor) and value.is_meta for value in content.values()):
        raise WeightsError(f"{path} holds tensors of the device meta, which have no numbers.", slug="corrupt-weights")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}, notes


def _state_dicts(content: Any, above: str = "") -> dict[str, Mapping[str, Any]]:
    """The sets of weights inside a file's content by their names ("state_dict", "ema.module"), outermost first.

    None where the content itself is one; single tensors beside a set are none.
    """
    if not isinstance(content, Mapping):
        return {}
    inside = {f"{above}{name}": part for name, part in content.items() if isinstance(part, Mapping)}
    held = {name: part for name, part in inside.items() if any(isinstance(value, Tensor) for value in part.values())}
    held = {name: part for name, part in held.items() if name.partition("_")[0] not in _NO_WEIGHTS} or held
    if not above:
        for name, part in inside.items():
            if name not in held and name.partition("_")[0] not in _NO_WEIGHTS:
                held |= _state_dicts(part, f"{name}.")
    return held


def _unreadable(path: Path, error: Exception) -> WeightsError:
    """Told apart: a pickle that would run code, a Git LFS pointer, and bytes that are no checkpoint at all."""
    start = path.read_bytes()[:64] if path.is_file() else b""
    match = re.search(r"(?:Unsupported global: GLOBAL|Unsupported class|GLOBAL) ([\w.]+)", str(error))
    is_pickle = start.startswith((b"\x80", b"PK"))
    if not isinstance(error, pickle.UnpicklingError) or not (match or is_pickle):
        said = "" if "weights_only" in str(error) or isinstance(error, KeyError) else f": {first_line(error)}"
        pointer = "\n  It is a Git LFS pointer, not the file itself:  git lfs pull" if b"git-lfs" in start else ""
        return WeightsError(f"{path} cannot be read as a PyTorch checkpoint{said}.{pointer}", slug="corrupt-weights")
    return _carries_code(path, match.group(1) if match else None)


def _carries_code(path: Path, asks_for: str | None) -> WeightsError:
    named = f" (it asks for {asks_for})" if asks_for else ""
    return WeightsError(
        f"{path} is not plain weights{named}: a whole pickled model or object, and loading it would run code from the "
        f"file. Nothing of it was run.\n  Save the weights alone, where the network is made:  {_SAVE}",
        slug="carries-code",
    )


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the checksums
                raise WeightsError(f"{path} is damaged: {damaged} is not as written.", slug="corrupt-weights")
            return any(name.split("/")[1:2] in (["code"], ["constants.pkl"]) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _epoch_file(directory: Path, model: str, epoch: int | None) -> tuple[Path, str]:
    folder = directory / model if (directory / model).is_dir() else directory
    paths = sorted(folder.iterdir(), key=lambda path: (path.name.startswith("model_"), path.name))  # model_4 outranks
    checkpoints = {
        int(match.group(1)): path
        for path in paths
        if path.suffix in SUFFIXES and (match := re.search(r"(\d+)$", path.stem))
    }
    if not checkpoints:
        inside = listed(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise WeightsError(f"{folder} holds no checkpoint like model_4.pt (it holds: {inside}).", slug="no-such-file")
    if epoch is None:
        epoch = max(checkpoints)
        return checkpoints[epoch], f"The last epoch, {epoch}, was taken: {checkpoints[epoch]}."
    if epoch not in checkpoints:
        epochs = ", ".join(map(str, sorted(checkpoints)))
        raise WeightsError(f"{folder} has no checkpoint of epoch {epoch}.  It has: {epochs}.", slug="no-such-file")
    return checkpoints[epoch], f"Epoch {epoch}: {checkpoints[epoch]}."


def _strip_prefix(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The state with the leading words ("module.", "model.") taken off with which most keys fit, and those words."""
    best, best_fit = "", len(state.keys() & expected.keys())
    prefixes = dict.fromkeys(key[: place + 1] for key in state for place, letter in enumerate(key) if letter == ".")
    for prefix in prefixes:  # of two that fit alike, the shorter, then the first in the file
        fit = sum(key.removeprefix(prefix) in expected for key in state if key.startswith(prefix))
        if fit > best_fit or (fit == best_fit and best and len(prefix) < len(best)):
            best, best_fit = prefix, fit
    if not best:
        return state, ""
    return {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}, best


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path, model: str) -> None:
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    shaped = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(expected[key].shape)} in the network"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    if not (missing or unexpected or shaped):
        return
    counts = f"{len(missing)} keys missing, {len(unexpected)} unexpected, {len(shaped)} of another shape"
    lines = [f"{path} does not fit {model}: {counts}."]
    if missing:
        lines.append(f"  Missing:     {listed(missing)}.  {nearest(missing[0], unexpected)}".rstrip())
    if unexpected:
        lines.append(f"  Unexpected:  {listed(unexpected)}.  {nearest(unexpected[0], missing)}".rstrip())
    lines += [f"  Shape:       {line}" for line in shaped[:8]]
    lines.append("  Are these the weights of another network, or of another --model-arg?")
    raise WeightsError("\n".join(lines), slug="weights-mismatch")


def _casts(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> list[str]:
    """What is said where numbers are taken in another type than the file has them in.

    Raises WeightsError for those that would lose more than digits: sparse, quantised and complex ones.
    """
    pairs = [(key, state[key], expected[key]) for key in expected if key in state]
    for key, given, wanted in pairs:
        what = "complex" if given.is_complex() and not wanted.is_complex() else ""
        what = "quantised" if given.is_quantized and not wanted.is_quantized else what
        what = "sparse" if given.layout is not wanted.layout else what
        if what:
            raise WeightsError(
                f"{path} holds {what} numbers for {key}, where the network has {_kind(wanted)}.\n"
                "  Save them as the network has them: to_dense(), dequantize() or .real, each before torch.save.",
                slug="weights-mismatch",
            )
    kinds = {
        (_kind(given), _kind(wanted))
        for _, given, wanted in pairs
        if given.is_floating_point() != wanted.is_floating_point()
    }
    return [
        f"{path.name} holds {given} numbers where the network has {wanted}: cast." for given, wanted in sorted(kinds)
    ]


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
