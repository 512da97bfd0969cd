"""Readers of the raw formats of neutrino telescopes."""
