"""The main numbers that a finding of `audit` or `check` turns on; both store them with what they say."""

from __future__ import annotations

LEAST_IMAGES = 8  # of a class, for donors to say anything
FEW_IMAGES = 30  # of a class, below which what is said is said to rest on few

_AUDIT = {  # value, and what it is the limit of: a phrase that the value ends, or that names it
    "level": (0.05, "a dependence is shown where p, after Holm over all tests, is below"),
    "floor": (0.02, "least effect on a probability that is reported"),
    "strong": (2.0, "floors that a strong finding's interval stays above"),
    "least_images": (LEAST_IMAGES, "distinct images that each class needs before anything is said"),
    "few_donors": (FEW_IMAGES, "a finding is weak where a class has fewer donors than"),
    "broken_flips": (
        0.1,
        "how much an edit breaks is asked where content of the own class flips this share of decisions",
    ),
    "broken_margin": (
        0.2,
        "a finding is weak where the own class's margin loses this share to the class's own content",
    ),
    "broken_part": (
        1 / 3,
        "but not where content of the own class flips less than this share of the decisions that another class's flips",
    ),
    "edge": (
        0.5,
        "share of an effect, in proportion to the area, that must be left 4 pixels away from the region's edge",
    ),
    "outside": (0.25, "share of an effect that must be left outside of the core"),
    "rim": (
        0.5,
        "an effect dies with a larger core where less than this share is left of it, in proportion to the area",
    ),
    "rest": (0.5, "share of a region's own effect that everything outside of the core must be able to have"),
    "unnamed": (0.5, "share of what everything outside of the core tells that must be left away from the core"),
    "explained": (
        0.35,
        "another factor explains an effect where less than this share is left of it with that factor held",
    ),
    "unexplained": (0.7, "what is left of an explained effect stays below this share, with its whole interval"),
    "suffices": (0.65, "share of an effect that its cause must have by itself"),
    "together": (0.75, "share of an effect that several causes must explain together"),
    "fragile": (
        1.0,
        "logits (standard deviation) by which donors of one class move the margin of what is fragile, at least",
    ),
    "fragile_flips": (0.1, "share of the decisions that must flip for something to be called fragile"),
}
_CHECK = {
    "little": (0.1, "a classifier knows little below this share of the way from guessing to always right"),
    "undecided_accuracy": (
        0.5,
        "an accuracy's interval says nothing that holds guessing and passes this share of the way to always right",
    ),
    "gap": (0.05, "accuracy that training images may have more than others"),
    "idle_channels": (0.5, "share of a layer's channels that may be idle"),
    "overconfidence": (0.05, "how far the mean probability may exceed the accuracy"),
    "undecided_auc": (0.02, "two AUCs are called equal where they differ by less than"),
    "useful_auc": (0.55, "least AUC of an advice, a tenth of the way from guessing to always right"),
    "empty": (0.05, "share of the maps that may be empty"),
    "no_gradient": (0.05, "share of the images whose gradient may be zero"),
    "random_weights": (0.5, "grade C: rank correlation with the map of a network whose weights are all random, from"),
    "trivial": (0.5, "grade B: rank correlation with brightness, edges or the centre, from"),
    "trivial_c": (
        0.7,
        "grade C: rank correlation with brightness or edges (what is sought may well lie in the centre), from",
    ),
    "with_hirescam": (0.7, "least rank correlation with HiResCAM"),
    "flipped": (0.7, "least rank correlation with the map of the mirrored image"),
    "noisy": (0.8, "least rank correlation with the map of the image with noise"),
    "other_class": (
        0.9,
        "a map does not tell classes apart where its rank correlation with another class's map is above",
    ),
    "null_shape": (
        0.9,
        "a map's shape is the layer's own where its rank correlation with an empty image's map is above",
    ),
    "incomplete": (0.01, "share of the score's spread by which a map's sum may miss it"),
    "false_mass": (
        0.05,
        "grade B: share of a map in places that the classifier does not see, above (C: an even map's share there)",
    ),
    "little_better": (
        0.1,
        "least gain in rank correlation with swaps over a picture that knows nothing of the classifier",
    ),
}

AUDIT_THRESHOLDS: dict[str, float] = {name: value for name, (value, _) in _AUDIT.items()}
CHECK_THRESHOLDS: dict[str, float] = {name: value for name, (value, _) in _CHECK.items()}
THRESHOLD_WORDS: dict[str, str] = {name: words for name, (_, words) in {**_CHECK, **_AUDIT}.items()}
