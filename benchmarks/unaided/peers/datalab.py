"""cleanlab's Datalab: image properties by which the label can be guessed. It asks no network."""

from __future__ import annotations

from typing import Any

from benchmarks.unaided.peers.material import Claim, Material

PROPERTIES = {
    "dark": "brightness", "light": "brightness", "blurry": "sharpness", "grayscale": "saturation",
    "low_information": "contrast",
}  # fmt: skip


def shipped(material: Material) -> Claim:
    """The spurious correlations that Datalab reports: cleanvision's properties with scores below its threshold."""
    return _claim(material, is_repaired=False)


def repaired(material: Material) -> Claim:
    """The same with the baseline that its documentation says: the share of the largest label, not the largest label."""
    return _claim(material, is_repaired=True)


def _claim(material: Material, is_repaired: bool) -> Claim:
    from cleanlab.datalab.internal.adapter.constants import SPURIOUS_CORRELATION_ISSUE

    scores = scores_of(properties_of(material), material.labels, is_repaired)
    threshold = SPURIOUS_CORRELATION_ISSUE["spurious_correlations"]["threshold"]
    told = sorted(name for name, score in scores.items() if score < threshold)
    least = min(scores, key=lambda name: scores[name])
    names = dict.fromkeys(PROPERTIES.get(name, name) for name in told)
    return Claim(tuple(names), f"least score {scores[least]:.2f}, {least}; told {', '.join(told) or 'nothing'}")


def properties_of(material: Material) -> Any:
    """cleanvision's table of the properties that Datalab asks for, as Datalab makes it but in one process."""
    import PIL.Image
    from cleanlab.datalab.internal.adapter.constants import DEFAULT_CLEANVISION_ISSUES
    from cleanvision import Imagelab
    from datasets import Dataset, Features, Image

    pictures = [PIL.Image.fromarray(image) for image in material.images]
    data = Dataset.from_dict({"image": pictures}, features=Features({"image": Image()}))
    lab = Imagelab(hf_dataset=data, image_key="image")
    lab.find_issues(issue_types=DEFAULT_CLEANVISION_ISSUES, n_jobs=1, verbose=False)
    return lab.issues


def scores_of(properties: Any, labels: Any, is_repaired: bool) -> dict[str, float]:
    """By property cleanlab's score: 0 where the label can be guessed from it, 1 where not at all."""
    import numpy as np
    from cleanlab.datalab.internal.spurious_correlation import SpuriousCorrelations

    class Repaired(SpuriousCorrelations):
        def _get_baseline(self) -> float:
            return float(np.bincount(self.labels).max() / len(self.labels))

    columns = [name for name in properties.columns if name.endswith("_score")]
    scorer = (Repaired if is_repaired else SpuriousCorrelations)(properties[columns], labels)
    table = scorer.calculate_correlations()
    return {
        name.removesuffix("_score"): float(score) for name, score in zip(table["property"], table["score"], strict=True)
    }
