"""Human ratings: their scale and levels, tables, preferences, splits."""
