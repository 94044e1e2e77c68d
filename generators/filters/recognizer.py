"""A recognizer for few pictures: linear discriminants of frozen features, shrunk by a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Features = NDArray[np.float32]
Labels = NDArray[np.str_]


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis with classes taken as equally frequent.

    Attributes:
        classes: K names, in alphabetical order.
        weights: ``(D, K)``.
        offsets: ``(K,)``.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def margins(self, features: Features, labels: Labels) -> NDArray[np.float64]:
        """Return ``(N,)``: score of the given class less the best score of the others.

        Args:
            features: ``(N, D)``.
            labels: ``(N,)``, of the known classes.
        """
        scores = features.astype(np.float64) @ self.weights + self.offsets
        own = np.array([self.classes.index(label) for label in labels])
        rows = np.arange(len(own))
        given = scores[rows, own]
        scores[rows, own] = -np.inf
        margins: NDArray[np.float64] = given - scores.max(axis=1)
        return margins


def fit(features: Features, labels: Labels) -> Discriminant:
    """Fit class means and one covariance, shrunk towards a sphere as Ledoit and Wolf (2004) do.

    Nothing of size ``(D, D)`` is made: with N pictures, the covariance has rank N at most.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``, at least 2 different.
    """
    classes = sorted(set(labels.tolist()))
    x = features.astype(np.float64)
    means = np.stack([x[labels == name].mean(axis=0) for name in classes])
    centred = x - means[np.searchsorted(classes, labels)]
    shrinkage, sphere = ledoit_wolf(centred)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    flat = max(shrinkage * sphere, np.finfo(np.float64).tiny)
    along = (1 - shrinkage) * singular**2 / len(x) + flat
    inside = means @ axes.T
    precise = means / flat + (inside * (1 / along - 1 / flat)) @ axes
    return Discriminant(tuple(classes), precise.T, -0.5 * (precise * means).sum(axis=1))


def ledoit_wolf(centred: NDArray[np.float64]) -> tuple[float, float]:
    """Return the share of the sphere, in [0, 1], and its variance (Ledoit and Wolf, 2004, 3.2).

    Args:
        centred: ``(N, D)`` of mean 0.
    """
    count, size = centred.shape
    gram = centred @ centred.T
    lengths = np.diag(gram)
    sphere = float(lengths.sum() / count / size)
    norm = float((gram**2).sum()) / count**2
    spread = norm / size - sphere**2
    noise = (float((lengths**2).sum()) / count - norm) / count / size
    return (min(1.0, noise / spread) if spread > 0 else 1.0), sphere


@dataclass(frozen=True)
class Recognizer:
    """A discriminant and how good it is on pictures of objects that it was not fitted to.

    Attributes:
        discriminant: Fitted to all pictures.
        margins: By class, cross-validated margins of its real pictures.
        objects: By class, the physical objects of those pictures.
        significance: See ``FilterConfig``.
    """

    discriminant: Discriminant
    margins: dict[str, NDArray[np.float64]]
    objects: dict[str, NDArray[np.str_]]
    significance: float

    def by_chance(self, label: str) -> float:
        """Return the probability that guessing finds as many of the class's real objects.

        An object counts as found where most of its pictures are: they are no independent tries.
        """
        found, objects = self.margins[label] > 0, self.objects[label]
        hits = [found[objects == name].mean() > 0.5 for name in set(objects.tolist())]
        return float(binom.sf(sum(hits) - 1, len(hits), 1 / len(self.margins)))

    def knows(self, label: str) -> bool:
        """Say whether it finds a class better than by chance."""
        return label in self.margins and self.by_chance(label) <= self.significance

    def accuracy(self) -> float:
        """Return the cross-validated accuracy, mean of the classes'."""
        return float(np.mean([(margins > 0).mean() for margins in self.margins.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Return, JSON-like, its cross-validated accuracy, in all and by class."""
        return {
            "balanced_accuracy": self.accuracy(),
            "chance": 1 / len(self.margins),
            "classes": {
                label: {
                    "n": len(margins),
                    "objects": len(set(self.objects[label].tolist())),
                    "accuracy": float((margins > 0).mean()),
                    "by_chance": self.by_chance(label),
                    "abstains": not self.knows(label),
                }
                for label, margins in self.margins.items()
            },
        }


def cross_validated(
    features: Features, labels: Labels, objects: NDArray[np.str_], folds: int, significance: float
) -> Recognizer | None:
    """Fit a recognizer, and measure it with all pictures of an object in one fold.

    Classes with a single object are left out: nothing would be left to learn from.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)`` classes.
        objects: ``(N,)`` physical objects.
        folds: At most so many.
        significance: See ``FilterConfig``.

    Returns:
        ``None`` where fewer than 2 classes are left.
    """
    known = [name for name in sorted(set(labels)) if len(set(objects[labels == name])) > 1]
    if len(known) < 2:
        return None
    kept = np.isin(labels, known)
    features, labels, objects = features[kept], labels[kept], objects[kept]
    fold = _folds(labels, objects, folds)
    margins = np.full(len(labels), -np.inf)
    for held in range(folds):
        inside = fold != held
        if set(labels[inside]) == set(known) and not inside.all():
            fitted = fit(features[inside], labels[inside])
            margins[~inside] = fitted.margins(features[~inside], labels[~inside])
    found = {str(name): margins[labels == name] for name in known}
    named = {str(name): objects[labels == name] for name in known}
    return Recognizer(fit(features, labels), found, named, significance)


def _folds(labels: Labels, objects: NDArray[np.str_], folds: int) -> NDArray[np.int64]:
    """``(N,)`` fold of each picture: the objects of each class by turns, so that all meet."""
    given: dict[str, int] = {}
    for name in sorted(set(labels)):
        for item in sorted(set(objects[labels == name]) - given.keys()):
            given[item] = len(given) % folds
    return np.array([given[item] for item in objects])
