"""The row of an image, and what is made of rows: terminal, HTML, XMP, datasets."""

FORMATS = (".csv", ".jsonl", ".parquet")
"""Suffixes of tables."""
