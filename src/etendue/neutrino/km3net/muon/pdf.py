"""When the first photon of a muon reaches a photomultiplier: signal and background, with derivatives.

For a hit that is dt after the time of unscattered light, at distance rho from the track, with impact cosine
c, in coincidence with k - 1 other photomultipliers of its module, the ratio of likelihoods, of a hit in the
window T that may be signal, to one that is background, is::

    R = (q T f(dt) + 1) / (q + 1)
    f(dt) = (1 - w) G(dt - m; s, tau_1) + w G(dt - m; s, tau_1 + tau_2)

G is a Gaussian of width s (transit time spread, dispersion) folded with an exponential (light from beside the
track, scattered light). q, the odds that the hit is signal, falls with rho as absorption demands and follows
the angular acceptance. With h = (1 + c) / 2, r = rho / 100 m, l = ln k::

    ln q = Q0 + Q_R r + Q_H h + Q_HH h^2 + Q_K l      s^2 = S0^2 + (S_R r)^2      m = M_R r + M_H h
    tau_1 = (A0 + A_R r) (1 + A_H h + A_HH h^2)       tau_2 = (B0 + B_R r) (1 + B_H h)
    logit w = W0 + W_R r + W_H h + W_K l

The constants are from a maximum-likelihood fit to hits of simulated muons of known track, see
`docs/km3net-reconstruction.md`.
"""

from __future__ import annotations

from math import erfc, exp, log, sqrt

from etendue.kernel import kernel

#: The window of hits that are compared with a track, around the time of unscattered light [ns].
BEFORE, AFTER = 50.0, 250.0
WINDOW = BEFORE + AFTER

Q0, Q_R, Q_H, Q_HH, Q_K = 3.0396, -1.4953, -6.4605, -0.4483, 1.7913
S0, S_R = 2.2189, 1.7316
M_R, M_H = 0.9414, 2.6838
A0, A_R, A_H, A_HH = 1.9415, 7.3508, -0.5, 3.5177
B0, B_R, B_H = 24.1434, 16.0384, 0.3461
W0, W_R, W_H, W_K = -0.0911, 2.0596, 3.6444, -1.1763

SQRT_HALF = sqrt(0.5)
INV_SQRT_2PI = 0.3989422804014327


@kernel
def smeared_exponential(x: float, s: float, tau: float, gauss: float) -> tuple[float, float, float, float]:
    """Gaussian of width s folded with an exponential of mean tau: G and its derivatives in x, s, tau.

    G = exp(s^2 / 2 tau^2 - x / tau) erfc((s / tau - x / s) / sqrt 2) / 2 tau; ``gauss`` is the Gaussian
    density at x. dG/dx = (gauss - G) / tau.
    """
    z = (s / tau - x / s) * SQRT_HALF
    g = 0.5 / tau * exp(0.5 * (s / tau) ** 2 - x / tau) * erfc(z) if z < 20.0 else 0.0
    over = 1.0 / tau
    by_x = (gauss - g) * over
    by_s = (g * s * over - gauss * (s * over + x / s)) * over
    by_tau = (g * (x * over - 1.0 - (s * over) ** 2) + gauss * (s * over) ** 2) * over
    return g, by_x, by_s, by_tau


@kernel
def log_ratio(
    dt: float, rho: float, impact: float, log_k: float, blur: float
) -> tuple[float, float, float, float]:
    """Ln R of one hit, and its derivatives in dt, rho and the impact cosine (formulas above)."""
    h, r = 0.5 * (1.0 + impact), 0.01 * rho
    s = sqrt(S0 * S0 + (S_R * r) ** 2 + blur * blur)
    x = dt - M_R * r - M_H * h
    base_1, base_2 = A0 + A_R * r, B0 + B_R * r
    scale_1, scale_2 = 1.0 + (A_H + A_HH * h) * h, 1.0 + B_H * h
    tau_1, tau_2 = base_1 * scale_1, base_2 * scale_2
    w = 1.0 / (1.0 + exp(-(W0 + W_R * r + W_H * h + W_K * log_k)))
    q = exp(Q0 + Q_R * r + (Q_H + Q_HH * h) * h + Q_K * log_k)
    gauss = exp(-0.5 * (x / s) ** 2) * INV_SQRT_2PI / s
    g1, g1_x, g1_s, g1_tau = smeared_exponential(x, s, tau_1, gauss)
    g2, g2_x, g2_s, g2_tau = smeared_exponential(x, s, tau_1 + tau_2, gauss)
    f = (1.0 - w) * g1 + w * g2
    f_x = (1.0 - w) * g1_x + w * g2_x
    f_s = (1.0 - w) * g1_s + w * g2_s
    f_tau1 = (1.0 - w) * g1_tau + w * g2_tau
    f_tau2 = w * g2_tau
    f_logit = (g2 - g1) * w * (1.0 - w)
    numerator = q * WINDOW * f + 1.0
    by_f = q * WINDOW / numerator
    by_log_q = by_f * f - q / (q + 1.0)
    by_r = (
        by_f * (-M_R * f_x + f_s * S_R * S_R * r / s + f_tau1 * A_R * scale_1 + f_tau2 * B_R * scale_2)
        + by_f * f_logit * W_R
        + by_log_q * Q_R
    )
    by_h = by_f * (
        -M_H * f_x + f_tau1 * base_1 * (A_H + 2.0 * A_HH * h) + f_tau2 * base_2 * B_H + f_logit * W_H
    ) + by_log_q * (Q_H + 2.0 * Q_HH * h)
    return log(numerator / (q + 1.0)), by_f * f_x, 0.01 * by_r, 0.5 * by_h
