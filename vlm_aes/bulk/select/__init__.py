"""The best of many: by score, by band, by burst, without near-duplicates; placed as files."""
