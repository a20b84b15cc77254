"""Pages that need no network: shared parts and the gallery."""
