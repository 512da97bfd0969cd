"""Raw streams of gamma-ray telescopes."""
