"""Air showers as cascades: where gamma rays and protons put their energy into the atmosphere.

A gamma ray makes one electromagnetic shower. A proton makes a hadronic cascade in the manner of Heitler
and Matthews (Astropart. Phys. 22 (2005) 387), thrown at random: its pions interact again or decay, neutral
ones feed electromagnetic sub-showers, charged ones end as muons.

Energies are GeV, slant depths g/cm2 from the top of the atmosphere. Positions are in the shower frame:
metres across the axis, and along it metres upwards from where it meets the observation level; directions
are small angles to the axis in rad (tangents of the way down).
"""

from __future__ import annotations

import numpy as np

from etendue.iact.showers.atmosphere import height_of, overburden
from etendue.kernel import kernel

RADIATION_LENGTH = 36.7
CRITICAL_ENERGY = 0.085
#: Mean depth at which a gamma ray makes its first pair: 9/7 of a radiation length.
CONVERSION_LENGTH = 9 / 7 * RADIATION_LENGTH
#: Standard deviation of the depth of maximum from the first pair on, in g/cm2.
DEVELOPMENT_SPREAD = 30.0
#: Interaction lengths in air at 0.1-10 TeV (Matthews 2005: 85 and 120 g/cm2).
PROTON_LENGTH, PION_LENGTH = 85.0, 120.0
PROTON_MASS, PION_MASS, MUON_MASS = 0.938, 0.1396, 0.1057
#: Lifetime of the charged pion times the speed of light, in m.
PION_DECAY_LENGTH = 7.80
#: Least fraction of its energy that a pion gives to the muon: (muon mass / pion mass)^2.
LEAST_MUON_FRACTION = (MUON_MASS / PION_MASS) ** 2
#: Mean transverse momentum of secondaries in GeV/c.
TRANSVERSE_MOMENTUM = 0.35
#: Energy that a muon loses by ionisation, in GeV per g/cm2.
MUON_LOSS = 2.2e-3
#: Secondaries are followed down to this energy, and down to this fraction of the primary's.
ENERGY_CUT, RELATIVE_CUT = 2.0, 3e-4


@kernel
def axis_position(depth: float, cos_zenith: float, ground: float) -> float:
    """Metres along the shower axis above the observation level ``ground``, at a slant depth."""
    return (height_of(depth * cos_zenith) - ground) / cos_zenith


@kernel
def electromagnetic(
    rng: np.random.Generator, energy: float, depth: float, n_photons: int
) -> tuple[float, float]:
    """Depths of the first pair and of the maximum of an electromagnetic shower.

    X_1 = X_0 + Exp(9/7 L) and X_max = X_0 + L (ln(E / (n E_c)) + 1/2) on average, with the radiation
    length L and the critical energy E_c, for n photons that share the energy (approximation B: Rossi,
    High-Energy Particles (1952), section 5.13).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    energy : float
        Energy in GeV.
    depth : float
        Slant depth X_0 at which the photons set out, in g/cm2.
    n_photons : int
        1 for a gamma ray, 2 for a neutral pion.

    Returns
    -------
    first, maximum : float
        Slant depths in g/cm2.
    """
    first = depth + CONVERSION_LENGTH * rng.standard_exponential()
    mean = RADIATION_LENGTH * (np.log(energy / (n_photons * CRITICAL_ENERGY)) + 0.5) - CONVERSION_LENGTH
    return first, first + max(0.0, mean + DEVELOPMENT_SPREAD * rng.standard_normal())


@kernel
def pion_multiplicity(energy: float) -> float:
    """Mean number of pions in a collision of a hadron of this energy (GeV) with a nucleon at rest.

    3/2 of the charged multiplicity 0.88 + 0.44 ln s + 0.118 ln^2 s, s in GeV^2, measured at the ISR
    (Thome et al., Nucl. Phys. B 129 (1977) 365).
    """
    log_s = np.log(2 * PROTON_MASS * energy)
    return 1.5 * (0.88 + 0.44 * log_s + 0.118 * log_s * log_s)


@kernel
def append(rows: np.ndarray, n_rows: int, row: tuple[float, ...]) -> tuple[np.ndarray, int]:
    """Put one more row into an array, which is made twice as long if all its rows are taken."""
    if n_rows == len(rows):
        longer = np.empty((2 * len(rows), rows.shape[1]))
        for i in range(n_rows):
            for column in range(rows.shape[1]):
                longer[i, column] = rows[i, column]
        rows = longer
    for column in range(rows.shape[1]):
        rows[n_rows, column] = row[column]
    return rows, n_rows + 1


@kernel
def pions(rng: np.random.Generator, energy: float, tx: float, ty: float, cut: float) -> np.ndarray:
    """The pions that one interaction makes of an energy.

    A Poisson number (`pion_multiplicity`) of Dirichlet shares, a third of them neutral, with transverse
    momenta p of the distribution p exp(-2 p / p_T).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    energy : float
        Energy to share out in GeV.
    tx, ty : float
        Direction of what interacts, in rad.
    cut : float
        Least energy of pions that are returned, in GeV.

    Returns
    -------
    float64 array, shape (n, 4)
        Energy [GeV], direction [rad, rad], and 1 for a charged pion, 0 for a neutral one.
    """
    shares = np.empty(1 + rng.poisson(pion_multiplicity(energy)))
    for i in range(shares.size):
        shares[i] = rng.standard_exponential()
    shares *= energy / shares.sum()
    made, n_made = np.empty((shares.size, 4)), 0
    for share in shares:
        if share > cut:
            angle = TRANSVERSE_MOMENTUM / 2 * rng.standard_gamma(2.0) / share
            azimuth = 2 * np.pi * rng.random()
            charged = 1.0 if rng.random() < 2 / 3 else 0.0
            direction = (tx + angle * np.cos(azimuth), ty + angle * np.sin(azimuth))
            made, n_made = append(made, n_made, (share, direction[0], direction[1], charged))
    return made[:n_made]


@kernel
def muon_energy(
    rng: np.random.Generator, pion: float, decay: float, cos_zenith: float, ground: float
) -> float:
    """Energy on the ground of the muon of a pion that decays at a place along the axis.

    Two-body decay: uniform between (m_mu / m_pi)^2 E and E, less the ionisation loss on the way down.
    """
    kept = LEAST_MUON_FRACTION + (1 - LEAST_MUON_FRACTION) * rng.random()
    to_ground = overburden(ground) - overburden(ground + decay * cos_zenith)
    return kept * pion - MUON_LOSS * to_ground / cos_zenith


@kernel
def gamma_cascade(rng: np.random.Generator, energy: float) -> tuple[np.ndarray, np.ndarray, float]:
    """A gamma ray's one electromagnetic shower; arguments and results are those of `proton_cascade`."""
    first, maximum = electromagnetic(rng, energy, 0.0, 1)
    showers = np.zeros((1, 6))
    showers[0, 0], showers[0, 1] = energy, maximum
    return showers, np.empty((0, 5)), first


@kernel
def proton_cascade(
    rng: np.random.Generator, energy: float, cos_zenith: float, ground: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """The electromagnetic sub-showers and the muons of a proton.

    In each interaction a proton keeps a uniform fraction of its energy (leading baryons are about flat in
    Feynman x); the rest, and all energy of an interacting pion, goes to `pions`. A charged pion decays
    after Exp(E / m c tau) if it has not interacted by then. Kaons, baryon pairs, muon decay and the
    magnetic field are left out.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    energy : float
        Energy of the proton in GeV.
    cos_zenith : float
        Cosine of the shower's zenith angle.
    ground : float
        Height of the observation level above sea level in m.

    Returns
    -------
    showers : float64 array, shape (n, 6)
        Energy [GeV], slant depth of the maximum [g/cm2], position there across the axis [m, m],
        direction [rad, rad].
    muons : float64 array, shape (m, 5)
        Energy [GeV], position [m, m] and direction [rad, rad] at the observation level.
    first : float
        Slant depth of the first interaction in g/cm2.
    """
    cut = max(ENERGY_CUT, RELATIVE_CUT * energy)
    showers, n_showers = np.empty((64, 6)), 0
    muons, n_muons = np.empty((64, 5)), 0
    # Hadrons on their way: energy, depth, position across the axis, direction, whether it is a pion.
    hadrons, n_hadrons = append(np.empty((64, 7)), 0, (energy, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    first = -1.0
    while n_hadrons > 0:
        n_hadrons -= 1
        e, depth, x, y, tx, ty, is_pion = hadrons[n_hadrons]
        start = axis_position(depth, cos_zenith, ground)
        depth += (PION_LENGTH if is_pion else PROTON_LENGTH) * rng.standard_exponential()
        end = axis_position(depth, cos_zenith, ground)
        if is_pion:
            decay = start - e / PION_MASS * PION_DECAY_LENGTH * rng.standard_exponential()
            if decay > max(end, 0.0):
                muon = muon_energy(rng, e, decay, cos_zenith, ground)
                if muon > MUON_MASS:
                    row = (muon, x + tx * start, y + ty * start, tx, ty)
                    muons, n_muons = append(muons, n_muons, row)
                continue
        elif first < 0.0:
            first = depth
        if end < 0.0:
            continue
        x, y = x + tx * (start - end), y + ty * (start - end)
        if not is_pion:
            kept = e * rng.random()
            if kept > cut:
                hadrons, n_hadrons = append(hadrons, n_hadrons, (kept, depth, x, y, tx, ty, 0.0))
            e -= kept
            if e < cut:
                continue
        for pion in pions(rng, e, tx, ty, cut):
            if pion[3]:
                row = (pion[0], depth, x, y, pion[1], pion[2], 1.0)
                hadrons, n_hadrons = append(hadrons, n_hadrons, row)
            else:
                _, maximum = electromagnetic(rng, pion[0], depth, 2)
                path = end - axis_position(maximum, cos_zenith, ground)
                place = (x + pion[1] * path, y + pion[2] * path)
                row = (pion[0], maximum, place[0], place[1], pion[1], pion[2])
                showers, n_showers = append(showers, n_showers, row)
    return showers[:n_showers], muons[:n_muons], first
