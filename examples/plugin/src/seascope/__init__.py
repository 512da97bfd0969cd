"""Hydrophones in the sea: an example of a detector that etendue does not know."""
