"""The main numbers that a finding of `audit` or `check` turns on; both store them with what they say."""

from __future__ import annotations

LEAST_IMAGES = 8  # of a class, for donors to say anything
FEW_IMAGES = 30  # of a class, below which what is said is said to rest on few

_AUDIT = {  # value, and what it is the limit of
    "level": (0.05, "p after Holm over all tests, below which a dependence is shown"),
    "floor": (0.02, "of probability: what is smaller is not reported"),
    "strong": (2.0, "floors that a strong finding's interval stays above"),
    "least_images": (LEAST_IMAGES, "distinct images of each class, without which nothing is said"),
    "few_donors": (FEW_IMAGES, "donors of each class, below which a finding is weak"),
    "broken_flips": (
        0.1,
        "of the decisions flipped by content of the own class: from here on the edit may do it, where",
    ),
    "broken_margin": (0.2, "of the own class's margin is lost to its own content: it is weak then"),
    "edge": (0.5, "of the effect, in proportion to the area, that must be left 4 pixels away from the region's edge"),
    "outside": (0.25, "of the effect that must be left outside of the core"),
    "rim": (0.5, "of the effect, in proportion to the area, below which it is shown to die with a larger core"),
    "rest": (0.5, "of a region's own effect that everything outside of the core must be able to have"),
    "unnamed": (0.5, "of what everything outside of the core tells, that must be left away from the core"),
    "explained": (0.35, "of an effect: where no more is left with another factor held, that explains it, unless"),
    "unexplained": (0.7, "of it may be left"),
    "suffices": (0.65, "of an effect that its cause has to have by itself"),
    "together": (0.75, "of an effect that several causes explain together"),
    "fragile": (1.0, "logits by which donors of one class move the margin (standard deviation), where"),
    "fragile_flips": (0.1, "of the decisions flip: it is fragile then"),
}
_CHECK = {
    "little": (0.1, "of the way from guessing to always right, below which a classifier knows little"),
    "undecided_accuracy": (0.5, "of that way: an interval from guessing to beyond it says nothing"),
    "gap": (0.05, "of accuracy, between training images and others"),
    "idle_channels": (0.5, "of a layer's channels that may be idle"),
    "overconfidence": (0.05, "by which the mean probability may exceed the accuracy"),
    "undecided_auc": (0.02, "of AUC: what is better by less is called equal"),
    "useful_auc": (0.55, "of AUC: what reaches less is no advice, a tenth of the way from guessing to always right"),
    "empty": (0.05, "of the maps that may be empty"),
    "no_gradient": (0.05, "of the images whose gradient may be zero"),
    "random_weights": (0.5, "rank correlation with the map of a network whose weights are all random"),
    "trivial": (0.5, "rank correlation with brightness, edges or the centre: B"),
    "trivial_c": (0.7, "with brightness or edges: C; what is sought may well lie in the centre"),
    "with_hirescam": (0.7, "rank correlation with HiResCAM that a map must reach"),
    "flipped": (0.7, "rank correlation with the map of the mirrored image that a map must reach"),
    "noisy": (0.8, "rank correlation with the map of the image with noise that a map must reach"),
    "other_class": (0.9, "rank correlation with the map of another class, above which a map does not tell classes"),
    "null_shape": (0.9, "rank correlation with the map of an image without content, above which it is the layer's own"),
    "incomplete": (0.01, "of the score's spread, by which a map's sum may miss it"),
    "false_mass": (0.05, "of a map in places that the classifier does not see: B; C from what an even map has there"),
    "little_better": (0.1, "than a picture that knows nothing of the classifier, in rank correlation with swaps"),
}

AUDIT_THRESHOLDS: dict[str, float] = {name: value for name, (value, _) in _AUDIT.items()}
CHECK_THRESHOLDS: dict[str, float] = {name: value for name, (value, _) in _CHECK.items()}
THRESHOLD_WORDS: dict[str, str] = {name: words for name, (_, words) in {**_CHECK, **_AUDIT}.items()}
