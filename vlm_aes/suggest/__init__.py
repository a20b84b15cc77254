"""The edits that are tried, and which of them are better: the only source of suggestions."""
