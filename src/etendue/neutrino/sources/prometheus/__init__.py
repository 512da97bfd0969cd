"""Events that Prometheus simulated."""

from etendue.neutrino.sources.prometheus.source import PrometheusSource

__all__ = ["PrometheusSource"]
