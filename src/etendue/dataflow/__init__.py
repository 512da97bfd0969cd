"""Partitions, stages, pipelines, plans and their runs; knows nothing of physics."""
