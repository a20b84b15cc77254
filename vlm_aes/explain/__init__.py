"""Reasons for one score; comparison of images; audit of critiques."""
