"""How good a model is on a table of ratings, beside baselines."""
