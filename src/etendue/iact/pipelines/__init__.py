"""The pipelines that come with the gamma-ray family, as TOML."""
