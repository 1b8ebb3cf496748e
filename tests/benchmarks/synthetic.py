"""Range tests with a known answer: closed-form losses with added noise.

A curve is a plateau, a descent, a floor and a divergence, as in real range tests. The shape, size and position of every
part are random. The true answers are computed on the curve without noise, over the rates that were swept:

- `suggestion`: the rate with the most negative slope over the logarithm of the rate, before the lowest loss.
- `onset`: the rate at which 10 % of the descent from the plateau to the lowest loss has passed.
- `max_lr`: twice the rate of the lowest loss, but at most half of the rate at which 60 % of the descent are lost again,
  and at most 2.5 decades above `onset`. This is the rule of lrdiag without noise: it shows the effect of noise on the
  rule. `regret.py` measures whether the rule is good.
- `base_lr`: a tenth of `max_lr`, or `onset` if that is higher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ITERATIONS = (50, 100, 300, 1000)
NOISE = (0.0, 0.02, 0.05, 0.1, 0.15)  # standard deviation of one loss, as a share of the descent
COPIES = 20  # curves for each number of iterations and each noise


@dataclass(frozen=True)
class Curve:
    """One range test and its true answers."""

    learning_rates: np.ndarray
    losses: np.ndarray
    iterations: int
    noise: float
    truth: dict[str, float]


def logistic(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))


def softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, z)


# The remaining share of the descent at `z`. 10 % have passed at about z = -0.5, 90 % at about z = 0.5.
DESCENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "logistic": lambda z: logistic(-4.4 * z),
    "steep late": lambda z: np.exp(-0.6 * np.exp(np.minimum(3.1 * z, 10))),
    "steep early": lambda z: 1 - np.exp(-0.6 * np.exp(np.minimum(-3.1 * z, 10))),
    "power law": lambda z: (1 + np.exp(5.5 * z)) ** -0.6,
    "cosine": lambda z: (1 + np.cos(np.pi * np.clip(z / 1.2 + 0.5, 0, 1))) / 2,
    "ramp": lambda z: 1 - (softplus(10 * (z + 0.6)) - softplus(10 * (z - 0.6))) / 12,
}
# The loss that the divergence adds, in units of the descent, `u` decades after its start.
DIVERGENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "quadratic": lambda u: 10 ** np.minimum(2 * u, 3),
    "steep": lambda u: 10 ** np.minimum(5 * u, 3),
    "exponential": lambda u: np.expm1(np.minimum(10**u, 7)),
    # the network dies: the loss rises to chance level, falls again, and diverges
    "rebound": lambda u: 1.2 * logistic(12 * (u - 0.2)) - 0.5 * logistic(10 * (u - 1)) + 10 ** np.minimum(3 * u - 6, 3),
}


def family(seed: int = 0, copies: int = COPIES) -> list[Curve]:
    """Returns `copies` curves for every number of iterations and every noise. The seed determines all of them."""
    generator = np.random.default_rng(seed)
    return [draw(generator, n, noise) for n in ITERATIONS for noise in NOISE for _ in range(copies)]


def draw(generator: np.random.Generator, iterations: int, noise: float) -> Curve:
    """Draws one random curve."""
    width = 10 ** generator.uniform(np.log10(0.3), np.log10(2))  # decades from 10 % to 90 % of the descent
    decades = max(generator.uniform(4, 8), 2 * width + 1.2)
    start = generator.uniform(-8, -4)
    centre = start + generator.uniform(width + 0.4, decades - width - 0.4)
    diverges = centre + 0.5 * width + generator.uniform(-0.3 * width, 1.5)  # some of these cut the descent short
    plateau = 10 ** generator.uniform(-1, 1)
    depth = plateau * generator.uniform(0.05, 0.8)
    descent = DESCENTS[generator.choice(list(DESCENTS))]
    divergence = DIVERGENCES[generator.choice(list(DIVERGENCES))]

    def rise(x: np.ndarray) -> np.ndarray:
        return divergence(x - diverges)

    def loss(x: np.ndarray) -> np.ndarray:
        return plateau + depth * (descent((x - centre) / width) - 1 + rise(x))

    x = np.linspace(start, start + decades, iterations)
    if loss(x[:1])[0] - loss(x).min() < depth / 2:  # the divergence has removed most of the descent
        return draw(generator, iterations, noise)
    deviation = noise * depth * (1 + 2 * np.minimum(rise(x), 3))
    if generator.random() < 0.5:
        deviation = deviation * loss(x) / plateau
    heavy_tails = generator.random() < 0.25
    errors = generator.standard_t(3, iterations) / np.sqrt(3) if heavy_tails else generator.normal(size=iterations)
    losses, finite = sweep(loss(x) + deviation * errors, breaks_at=generator.uniform(3, 50) * plateau)
    return Curve(10 ** x[: len(losses)], losses, iterations, noise, truth(loss, x[0], x[finite - 1]))


def sweep(losses: np.ndarray, breaks_at: float) -> tuple[np.ndarray, int]:
    """Returns the losses that a range test records before it stops, and how many of them are finite.

    The test stops when the moving average is four times its minimum, or at the first loss that is not finite.
    """
    average, best = 0.0, np.inf
    for step, value in enumerate(losses):
        if value > breaks_at:
            return np.append(losses[:step], np.nan), step
        average = 0.98 * average + 0.02 * value
        smoothed = average / (1 - 0.98 ** (step + 1))
        best = min(best, smoothed)
        if smoothed > 4 * best:
            return losses[: step + 1], step + 1
    return losses, len(losses)


def truth(loss: Callable[[np.ndarray], np.ndarray], first: float, last: float) -> dict[str, float]:
    """Computes the true answers of a curve without noise between two logarithms of the rate."""
    x = np.linspace(first, last, 20_001)
    y = loss(x)
    lowest = int(y.argmin())
    fallen = (y[0] - y[: lowest + 1]) / (y[0] - y[lowest])
    steepest = x[np.diff(y[: lowest + 1]).argmin()]
    onset = x[np.argmax(fallen >= 0.1)]
    bottom = y[x <= onset + 2.5].argmin()
    climbed = np.flatnonzero(y[lowest:] > y[0] - 0.4 * (y[0] - y[lowest]))
    octave = np.log10(2)
    last = x[lowest + climbed[0]] - octave if len(climbed) else x[-1]
    top = max(steepest, min(x[bottom] + octave, last, onset + 2.5))
    rates = {"onset": onset, "base_lr": max(onset, top - 1), "suggestion": steepest, "max_lr": top}
    return {name: float(10**x) for name, x in rates.items()}
