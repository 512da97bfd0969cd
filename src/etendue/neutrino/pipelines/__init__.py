"""The pipelines that come with the neutrino telescopes, as TOML."""
