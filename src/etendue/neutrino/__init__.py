"""Neutrino telescopes: KM3NeT and IceCube, from raw hits and pulses to reconstructed events."""
