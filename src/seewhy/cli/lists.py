"""`seewhy layers`: the layers that can be named."""

from __future__ import annotations

from dataclasses import dataclass

from seewhy.cli.options import AsJson, Config, Device, NetworkOptions
from seewhy.cli.printing import kept_clean, print_json, print_rows, say
from seewhy.cli.signature import spelled_out


@dataclass(frozen=True, kw_only=True)
class _OnCpu(NetworkOptions):
    device: Device = "cpu"  # one pass over one picture of noise


@spelled_out
def layers(network: _OnCpu, as_json: AsJson = False, config: Config = None) -> None:
    """List the layers that have a grid, in the order in which they run, and mark the one that auto takes."""
    from seewhy.run.plan import layers_of

    with kept_clean():
        candidates, choice, (height, width) = layers_of(network.load())
    if as_json:
        rows = [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "grid": list(layer.grid),
                "seen": str(layer.seen),
                "runs": layer.runs,
            }
            for layer in candidates
        ]
        auto = {**vars(choice), "grid": str(choice.grid)}
        print_json({"command": "layers", "input": [height, width], "layers": rows, "auto": auto})
        return
    say(f"Layers with a grid, for an input of {width} x {height} pixels (* is auto):\n")
    print_rows(
        [
            (
                "*" if layer.name == choice.layer else "",
                layer.name,
                layer.kind,
                f"{layer.grid[0]} channels, {layer.seen or f'{layer.grid[1]} x {layer.grid[2]}'}",
                f"runs {layer.runs} times" if layer.runs > 1 else "",
            )
            for layer in candidates
        ]
    )
    say(f"\nauto: {choice.reason}.")
