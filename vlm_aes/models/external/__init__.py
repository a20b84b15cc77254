"""Predictors of others behind the same protocol: published heads, classifiers, dual encoders."""
