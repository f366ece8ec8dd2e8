"""Algorithms behind the Forecaster protocol of `domain.model`."""
