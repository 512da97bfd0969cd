"""Minima of the likelihood of tracks and cascades, from its slopes.

The likelihood has many minima: hits that come before the light of a track, or long after it, pull at nothing
as soon as noise explains them, and near a string the light turns quickly from one side to the other. So a fit
first approaches on a smoother function, without noise, by damped steps of Gauss and Newton, and descends from
there on the true one by a quasi-Newton method. It does so twice, from two such functions.
"""

from __future__ import annotations

import math

import numpy as np

from etendue.kernel import kernel
from etendue.neutrino.icecube.likelihood import Model, evaluate
from etendue.neutrino.icecube.pandel import Ice, make_table

#: A function to approach on has a jitter so much wider; its noise is too rare to hide a hit.
_BLURS, _NO_NOISE = (3.0, 1.0), 1e-100
#: Damping of the first step of an approach, and of the steps of a descent, in units of 1 / step^2.
_APPROACH_DAMPING, _DAMPING = 10.0, 3.0
#: An approach or descent ends when no step is expected to gain more than this, or after so many calls.
_APPROACH_GAIN, _GAIN = 1.0, 2e-3
_APPROACH_CALLS, _CALLS = 30, 100
#: A descent ends, too, when so many steps in a row gain less than this: it creeps along a kink.
_CREEP_GAIN, _CREEP_STEPS = 5e-3, 2
#: No step is longer than so many first steps; a descent so near to a known minimum leads there.
_REACH, _NEAR = 2.0, 0.05
#: A step has to gain this share of what its slope promises (Armijo), and is shortened so often.
_SUFFICIENT, _SHORTER = 1e-4, 8


def models(ice: Ice, noise: float, multi: bool) -> tuple[Model, tuple[Model, ...]]:
    """The function to minimise, and those to approach its minimum on: blurred, without noise.

    Parameters
    ----------
    ice : Ice
        Properties of the ice.
    noise : float
        Probability of a noise hit a nanosecond.
    multi : bool
        Whether the first of several photons is meant (MPE).
    """
    blurred = [ice._replace(sigma=blur * ice.sigma) for blur in _BLURS]
    approaches = tuple(Model(make_table(other), other, _NO_NOISE, multi) for other in blurred)
    return Model(make_table(ice), ice, max(noise, _NO_NOISE), multi), approaches


@kernel
def minimise(
    what: int,
    start: np.ndarray,
    steps: np.ndarray,
    axes: np.ndarray,
    hits: np.ndarray,
    model: Model,
    approaches: tuple,
) -> tuple[np.ndarray, float, int, bool]:
    """The lowest point that descents by way of each approach lead to; never above the start.

    Parameters
    ----------
    start, steps : float64 array, shape (n,)
        First point, and the scale of each parameter.
    what, axes, hits, model
        As of `etendue.neutrino.icecube.likelihood.minus_log_likelihood`.
    approaches : tuple of Model
        Functions to begin on, as of `models`.

    Returns
    -------
    point : float64 array, shape (n,)
        Where the function is least.
    value : float
        What it is there.
    n_calls : int
        Evaluations of all the functions.
    converged : bool
        Whether the descent to that point ended by itself.
    """
    best, value, converged = np.full(start.size, np.inf), np.inf, False
    total = 0
    for other in approaches:
        near, n_calls = approach(what, start, steps, axes, hits, other)
        point, lower, more, ended = descend(what, near, steps, axes, hits, model, best)
        total += n_calls + more
        if lower < value:
            best, value, converged = point, lower, ended
    n = start.size
    total += 1
    if evaluate(what, start, axes, hits, model, np.empty(n), np.empty((n, n))) < value:
        point, lower, more, ended = descend(what, start, steps, axes, hits, model, best)
        total += more
        if lower < value:
            best, value, converged = point, lower, ended
    return best, value, total, converged


@kernel
def approach(
    what: int, start: np.ndarray, steps: np.ndarray, axes: np.ndarray, hits: np.ndarray, model: Model
) -> tuple[np.ndarray, int]:
    """Steps d of (H + mu / steps^2) d = -g, damped the more the less they keep their promise.

    Levenberg, Quart. Appl. Math. 2 (1944) 164; Marquardt, J. SIAM 11 (1963) 431. A step promises the gain
    -(g . d) / 2 + sum mu (d / steps)^2 / 2. Parameters as of `minimise`; the point and the calls.
    """
    n = start.size
    point, slopes, bends = start.copy(), np.empty(n), np.empty((n, n))
    trial, trial_slopes, trial_bends = np.empty(n), np.empty(n), np.empty((n, n))
    value = evaluate(what, point, axes, hits, model, slopes, bends)
    n_calls, damping = 1, _APPROACH_DAMPING
    factor = np.empty((n, n))
    while n_calls < _APPROACH_CALLS:
        factorise(bends, damping, steps, factor)
        solve(factor, slopes, trial)
        promise = 0.0
        for a in range(n):
            promise += 0.5 * trial[a] * (slopes[a] + damping * trial[a] / steps[a] ** 2)
            trial[a] = point[a] - trial[a]
        if promise < _APPROACH_GAIN:
            break
        lower = evaluate(what, trial, axes, hits, model, trial_slopes, trial_bends)
        n_calls += 1
        kept = (value - lower) / promise
        if kept > 0.0:
            point, trial = trial, point
            slopes, trial_slopes = trial_slopes, slopes
            bends, trial_bends = trial_bends, bends
            value = lower
        if kept < 0.1:
            damping *= 6.0
        elif kept < 0.3:
            damping *= 2.0
        elif kept > 0.7:
            damping *= 0.2
    return point, n_calls


@kernel
def descend(
    what: int,
    start: np.ndarray,
    steps: np.ndarray,
    axes: np.ndarray,
    hits: np.ndarray,
    model: Model,
    known: np.ndarray,
) -> tuple[np.ndarray, float, int, bool]:
    """Minimise by the method of Broyden, Fletcher, Goldfarb and Shanno, from about the second derivatives.

    With the step s and the change y of the gradient the inverse W of the second derivatives becomes
    W + (1 + y.Wy / s.y) s s^T / s.y - (Wy s^T + s (Wy)^T) / s.y (Nocedal and Wright, Numerical Optimization,
    equation 6.17), where s.y > 0. Steps are shortened until they gain enough, so no step leads upwards.

    Parameters
    ----------
    known : float64 array, shape (n,)
        A minimum where nothing new is to be found; infinite for none.
    start, steps, what, axes, hits, model
        As of `minimise`.

    Returns
    -------
    point, value, n_calls, converged
        As of `minimise`.
    """
    n = start.size
    point, slopes, bends = start.copy(), np.empty(n), np.empty((n, n))
    trial, trial_slopes = np.empty(n), np.empty(n)
    step, change, inverse = np.empty(n), np.empty(n), np.empty((n, n))
    value = evaluate(what, point, axes, hits, model, slopes, bends)
    n_calls = 1
    invert(bends, _DAMPING, steps, inverse)
    fresh, creeping = True, 0
    while n_calls < _CALLS and creeping < _CREEP_STEPS:
        downhill, length, away = 0.0, 0.0, 0.0
        for a in range(n):
            step[a] = 0.0
            for b in range(n):
                step[a] -= inverse[a, b] * slopes[b]
            downhill += step[a] * slopes[a]
            length = max(length, abs(step[a]) / steps[a])
            away = max(away, abs(point[a] - known[a]) / steps[a])
        if -0.5 * downhill < _GAIN or away < _NEAR:
            return point, value, n_calls, True
        share, found = min(1.0, _REACH / length), False
        for _ in range(_SHORTER):
            for a in range(n):
                trial[a] = point[a] + share * step[a]
            lower = evaluate(what, trial, axes, hits, model, trial_slopes, bends)
            n_calls += 1
            found = lower <= value + _SUFFICIENT * share * downhill
            if found:
                break
            # Where a parabola through both values, with the slope here, is least.
            least = -0.5 * downhill * share * share / (lower - value - downhill * share)
            share = min(max(least, 0.1 * share), 0.5 * share)
        if found:
            for a in range(n):
                step[a] *= share
                change[a] = trial_slopes[a] - slopes[a]
            learn(inverse, step, change)
            creeping = creeping + 1 if value - lower < _CREEP_GAIN else 0
            point, trial = trial, point
            slopes, trial_slopes = trial_slopes, slopes
            value, fresh = lower, False
        elif fresh:  # a kink: nothing is lower near by
            return point, value, n_calls, True
        else:
            evaluate(what, point, axes, hits, model, slopes, bends)
            n_calls += 1
            invert(bends, _DAMPING, steps, inverse)
            fresh = True
    return point, value, n_calls, n_calls < _CALLS


@kernel
def learn(inverse: np.ndarray, step: np.ndarray, change: np.ndarray) -> None:
    """Update the inverse of the second derivatives by a step and the gradient's change; see `descend`."""
    n = step.size
    along, across, turned = 0.0, 0.0, np.empty(n)
    for a in range(n):
        along += step[a] * change[a]
        turned[a] = 0.0
        for b in range(n):
            turned[a] += inverse[a, b] * change[b]
        across += turned[a] * change[a]
    if along > 1e-10:
        for a in range(n):
            for b in range(n):
                inverse[a, b] += (
                    (1.0 + across / along) * step[a] * step[b] - turned[a] * step[b] - step[a] * turned[b]
                ) / along


@kernel
def factorise(bends: np.ndarray, damping: float, steps: np.ndarray, factor: np.ndarray) -> None:
    """Cholesky's factor of H + damping / steps^2, at and below the diagonal; only there H is read."""
    for a in range(steps.size):
        for b in range(a + 1):
            rest = bends[a, b]
            if a == b:
                rest += damping / (steps[a] * steps[a])
            for c in range(b):
                rest -= factor[a, c] * factor[b, c]
            factor[a, b] = math.sqrt(rest) if a == b else rest / factor[b, b]


@kernel
def solve(factor: np.ndarray, right: np.ndarray, solution: np.ndarray) -> None:
    """Solve L L^T x = right for Cholesky's factor L."""
    n = right.size
    for a in range(n):
        solution[a] = right[a]
        for b in range(a):
            solution[a] -= factor[a, b] * solution[b]
        solution[a] /= factor[a, a]
    for a in range(n - 1, -1, -1):
        for b in range(a + 1, n):
            solution[a] -= factor[b, a] * solution[b]
        solution[a] /= factor[a, a]


@kernel
def invert(bends: np.ndarray, damping: float, steps: np.ndarray, inverse: np.ndarray) -> None:
    """Inverse of H + damping / steps^2, with H as of `factorise`."""
    n = steps.size
    factor, unit = np.empty((n, n)), np.zeros(n)
    factorise(bends, damping, steps, factor)
    for a in range(n):
        unit[a] = 1.0
        solve(factor, unit, inverse[a])
        unit[a] = 0.0
