"""Slewing of KM3NeT's photomultipliers: a small pulse crosses the threshold later than a large one."""

from __future__ import annotations

import numpy as np

#: Slewing measured in the laboratory [ns], by ToT from 0 ns on; from the last one on it stays the same.
MEASURED = """
8.01 7.52 7.05 6.59 6.15 5.74 5.33 4.95 4.58 4.22 3.89 3.56 3.25 2.95 2.66 2.39 2.12 1.87 1.63 1.4 1.19
0.98 0.78 0.6 0.41 0.24 0.07 -0.1 -0.27 -0.43 -0.59 -0.75 -0.91 -1.08 -1.24 -1.41 -1.56 -1.71 -1.85
-1.98 -2.11 -2.23 -2.35 -2.47 -2.58 -2.69 -2.79 -2.89 -2.99 -3.09 -3.19 -3.28 -3.37 -3.46 -3.55 -3.64
-3.72 -3.8 -3.88 -3.96 -4.04 -4.12 -4.2 -4.27 -4.35 -4.42 -4.49 -4.56 -4.63 -4.7 -4.77 -4.84 -4.9 -4.97
-5.03 -5.1 -5.16 -5.22 -5.28 -5.34 -5.4 -5.46 -5.52 -5.58 -5.63 -5.69 -5.74 -5.8 -5.85 -5.91 -5.96 -6.01
-6.06 -6.11 -6.16 -6.21 -6.26 -6.31 -6.36 -6.41 -6.45 -6.5 -6.55 -6.59 -6.64 -6.68 -6.72 -6.77 -6.81
-6.85 -6.89 -6.93 -6.98 -7.02 -7.06 -7.09 -7.13 -7.17 -7.21 -7.25 -7.28 -7.32 -7.36 -7.39 -7.43 -7.46
-7.5 -7.53 -7.57 -7.6 -7.63 -7.66 -7.7 -7.73 -7.76 -7.79 -7.82 -7.85 -7.88 -7.91 -7.94 -7.97 -7.99 -8.02
-8.05 -8.07 -8.1 -8.13 -8.15 -8.18 -8.2 -8.23 -8.25 -8.28 -8.3 -8.32 -8.34 -8.37 -8.39 -8.41 -8.43 -8.45
-8.47 -8.49 -8.51 -8.53 -8.55 -8.57 -8.59 -8.61 -8.62 -8.64 -8.66 -8.67 -8.69 -8.7 -8.72 -8.74 -8.75
-8.76 -8.78 -8.79 -8.81 -8.82 -8.83 -8.84 -8.86 -8.87 -8.88 -8.89 -8.9 -8.92 -8.93 -8.94 -8.95 -8.96
-8.97 -8.98 -9 -9.01 -9.02 -9.04
"""

#: Parameters of the older parametrisations, p0 exp(p1 sqrt(ToT) + p2 ToT) + p3.
PARAMETERS = {
    1: (7.70824, 0.00879447, -0.0621101, -1.90226),
    2: (13.6488662517, -0.128744123166, -0.0174837749244, -4.47119633965),
}


def slewing(variant: int) -> np.ndarray:
    """Slewing by time over threshold.

    Parameters
    ----------
    variant : {0, 1, 2, 3}
        0 for none; 1 and 2 are parametrisations, 3 is the table that is in use.

    Returns
    -------
    float64 array, shape (256,)
        To be subtracted from the time of a hit [ns], by its ToT [ns].

    Notes
    -----
    The variants, their parameters and the table are those of km3pipe's ``slew``.
    """
    tot = np.arange(256)
    if variant == 0:
        return np.zeros(256)
    if variant in PARAMETERS:
        p0, p1, p2, p3 = PARAMETERS[variant]
        return p0 * np.exp(p1 * np.sqrt(tot) + p2 * tot) + p3
    measured = np.array(MEASURED.split(), dtype=np.float64)
    return measured[np.minimum(tot, measured.size - 1)]
