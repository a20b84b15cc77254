"""The row of an image, and what is made of rows: terminal, HTML, XMP, datasets."""
