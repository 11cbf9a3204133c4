"""Measurements of surfacefit beside its peers: ``python -m benchmarks --help``."""
