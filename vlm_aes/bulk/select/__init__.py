"""The best of many images: by score, by band, by burst, without near-duplicates; as files."""
