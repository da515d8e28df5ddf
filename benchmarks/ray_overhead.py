"""What Ray costs: whole commands by two workers on Ray (two nodes on this machine) and by two forked ones, in turn.

    .venv/bin/python -m benchmarks.ray_overhead 10000
    .venv/bin/python -m benchmarks.ray_overhead 1000 --ordinary

Of a fifth of so many images and of all, so that what is fixed and what each image costs are told apart; of a network
of one layer at 32 px, or with `--ordinary` of the tutorial's at 256. The quicker of two runs counts. Nothing is judged.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from benchmarks.cluster import EXPLAIN, WORKERS, Place, new_place, on_ray
from benchmarks.kills import write_images
from benchmarks.ray_nodes import two_nodes

BAR = 0.1  # of the forked workers' time
OF_ONE_LAYER = [*EXPLAIN[2:], "--size", "32"]
ORDINARY = ["--model", "seewhy.learn.net:Net", "--layers", "conv3", "--no-report", "--size", "256"]


def seconds(place: Place, address: str, counts: tuple[int, int], network: list[str]) -> dict[str, list[float]]:
    """The seconds of whole commands over so many images, by who does them."""
    found: dict[tuple[str, int], float] = {}
    for count in counts:
        write_images(place.home / f"images-{count}", range(count))
    for turn, count in itertools.product(range(2), counts):
        words = ["explain", f"images-{count}", *network]
        ways = {"forked": [*words, "--workers", str(WORKERS)], "on Ray": on_ray(words, address)}
        for way, line in ways.items():
            took = place.finish(line, f"{way.replace(' ', '-')}-{count}-{turn}")
            print(f"{count:,} images {way}: {took:.1f} s", flush=True)
            found[way, count] = min(took, found.get((way, count), took))
    return {way: [found[way, count] for count in counts] for way in ("forked", "on Ray")}


def told(counts: tuple[int, int], took: dict[str, list[float]]) -> str:
    """The fixed part and that of each image, and from how long a run on the bar is met."""
    lines, parts = [], {}
    for way, (few, many) in took.items():
        each = (many - few) / (counts[1] - counts[0])
        parts[way] = fixed, each = few - counts[0] * each, each
        lines.append(
            f"{way}: {fixed:.1f} s fixed, {1000 * each:.2f} ms an image: 10,000 in {fixed + 10_000 * each:.0f} s"
        )
    fixed, each = (ray - forked for ray, forked in zip(parts["on Ray"], parts["forked"], strict=True))
    share = BAR - max(0.0, each) / parts["forked"][1]
    bar = f"from a run of {fixed / share:.0f} s on" if share > 0 else "never"
    lines.append(f"on Ray: {fixed:+.1f} s fixed, {1000 * each:+.2f} ms an image; at most {BAR:.0%} more {bar}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int)
    parser.add_argument("--ordinary", action="store_true")
    asked = parser.parse_args()
    counts = (asked.images // 5, asked.images)
    with tempfile.TemporaryDirectory() as home, two_nodes() as nodes:
        place = new_place(Path(home), 88)
        print(told(counts, seconds(place, nodes.address, counts, ORDINARY if asked.ordinary else OF_ONE_LAYER)))


if __name__ == "__main__":
    main()
