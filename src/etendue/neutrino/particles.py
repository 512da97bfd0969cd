"""Properties of particles by their Monte Carlo numbering (PDG), through the package ``particle``.

Needs the extra ``particles``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from etendue.errors import EtendueError

if TYPE_CHECKING:
    from particle import Particle

_ELECTRON, _MUON, _TAU = 11, 13, 15
_NEUTRINOS = (12, 14, 16)


class ParticleError(EtendueError, ValueError):
    """A particle that is not known, or the package that knows them is not installed."""


def particle(which: int | str) -> Particle:
    """Everything known of a particle, by its PDG number or its name.

    Raises
    ------
    ParticleError
        If there is no such particle; names similar to it are given.

    Examples
    --------
    >>> particle(13).name, particle("mu+").pdgid == -13
    ('mu-', True)
    """
    try:
        from particle import InvalidParticle, Particle, ParticleNotFound
    except ImportError:
        raise ParticleError("particle properties need: pip install 'etendue[particles]'") from None
    try:
        return Particle.from_name(which) if isinstance(which, str) else Particle.from_pdgid(int(which))
    except (ParticleNotFound, InvalidParticle):
        near = [p.name for p in Particle.finditer(str(which))][:5] if isinstance(which, str) else []
        hint = f"; similar names: {', '.join(near)}" if near else "; see pdg.lbl.gov for the numbering"
        raise ParticleError(f"there is no particle {which!r}{hint}") from None


def name(pdgid: int) -> str:
    """Name of a particle: ``mu-``, ``nu(mu)~``."""
    return particle(pdgid).name


def from_geant3(code: int) -> int:
    """PDG number of a particle in GEANT3's numbering: 5 is mu+, 6 is mu-.

    Raises
    ------
    ParticleError
        If there is no such code.
    """
    try:
        from particle import Geant3ID
        from particle.exceptions import MatchingIDNotFound
    except ImportError:
        raise ParticleError("particle properties need: pip install 'etendue[particles]'") from None
    try:
        return int(Geant3ID(code).to_pdgid())
    except MatchingIDNotFound:
        raise ParticleError(f"there is no particle with the GEANT3 code {code}") from None


def is_neutrino(pdgid: np.ndarray) -> np.ndarray:
    """Whether particles are neutrinos or antineutrinos (of the three flavours)."""
    return np.isin(np.abs(pdgid), _NEUTRINOS)


def is_muon(pdgid: np.ndarray) -> np.ndarray:
    """Whether particles are muons of either charge."""
    return np.abs(pdgid) == _MUON


def flavour(pdgid: np.ndarray) -> np.ndarray:
    """Flavour of leptons: ``e``, ``mu``, ``tau``; empty for any other particle."""
    kind = np.abs(np.asarray(pdgid))
    flavours = np.zeros(kind.shape, dtype="U3")
    for label, charged in (("e", _ELECTRON), ("mu", _MUON), ("tau", _TAU)):
        flavours[(kind == charged) | (kind == charged + 1)] = label
    return flavours
