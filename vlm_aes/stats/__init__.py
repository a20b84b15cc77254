"""Metrics, calibration, and the regressions that the package fits."""
