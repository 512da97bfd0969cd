"""Particles: the numbering, names and flavours, against the tables of KM3NeT's tools."""

import json

import numpy as np
import pytest

from etendue.neutrino import particles


def test_the_catalogue_is_that_of_the_reference(shared):
    known = json.loads((shared / "reference/km3net/particles.json").read_text())
    for pdgid, name in known["starts nu"]:
        assert particles.name(pdgid) == name
        assert particles.particle(name).pdgid == pdgid
    for pdgid, name, mass in known["regex D(\\d*)"]:
        found = particles.particle(name)
        assert found.pdgid == pdgid
        assert found.mass == mass


def test_geant3_codes_of_muons_and_pions():
    # CERN program library, W5013, CONS 300: 5 mu+, 6 mu-, 8 pi+, 14 proton.
    assert [particles.from_geant3(code) for code in (5, 6, 8, 14)] == [-13, 13, 211, 2212]


def test_flavours():
    pdgid = np.array([12, -14, 16, 11, -13, 15, 2212, 22])
    assert particles.flavour(pdgid).tolist() == ["e", "mu", "tau", "e", "mu", "tau", "", ""]
    assert particles.is_neutrino(pdgid).tolist() == [True] * 3 + [False] * 5
    assert np.flatnonzero(particles.is_muon(pdgid)).tolist() == [4]


@pytest.mark.parametrize(
    ("which", "message"),
    [("D(2)*", r"similar names: D\(2\)\*\(2460\)\+"), (99999999999, "see pdg"), ("nonsense", "see pdg")],
)
def test_an_unknown_particle_is_refused(which, message):
    with pytest.raises(particles.ParticleError, match=message):
        particles.particle(which)
    with pytest.raises(particles.ParticleError, match="GEANT3 code 5000"):
        particles.from_geant3(5000)
