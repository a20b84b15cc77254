"""Several scorers as one: weighed together, or each for its kind of image."""
