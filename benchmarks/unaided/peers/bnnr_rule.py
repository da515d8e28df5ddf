"""bnnr's rule "Background focus suspected": more than 30 % of a class's maps in a strip along the edges."""

from __future__ import annotations

import numpy as np
import torch
from benchmarks.unaided.peers.material import Claim, Material, last_layer, with_torchvision

EACH = 50  # pictures of each class: what its `analyze` takes as it is shipped


def background_focus(material: Material) -> Claim:
    """Tells "background" where bnnr finds it of any class, by its own maps, statistics and cut.

    The maps are its "gradcam", which is smoothed by the first principal component as bnnr has it.
    """
    with_torchvision()
    from bnnr.analysis.findings import _detect_xai_issues
    from bnnr.xai import generate_saliency_maps
    from bnnr.xai_analysis import analyze_xai_batch_rich

    rows = np.concatenate([np.flatnonzero(material.labels == label)[:EACH] for label in np.unique(material.labels)])
    labels = material.labels[rows]
    maps = generate_saliency_maps(
        material.module, material.inputs[torch.from_numpy(rows)], torch.from_numpy(labels),
        [last_layer(material.module)], method="gradcam",
    )  # fmt: skip
    answers = material.answers[rows].tolist()
    _, diagnoses, _ = analyze_xai_batch_rich(maps, labels.tolist(), pred_labels=answers, xai_method="gradcam")
    findings: list = []
    _detect_xai_issues(diagnoses, findings, [])
    told = [one for one in findings if one.finding_type == "background_focus_suspected"]
    edges = ", ".join(f"{name} {of['quality_breakdown']['edge']:.2f}" for name, of in diagnoses.items())
    return Claim(("background",) if told else (), f"edge scores {edges}; told below 0.4")
