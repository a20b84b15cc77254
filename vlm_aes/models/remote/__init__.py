"""A model behind an OpenAI-compatible server, such as vLLM or llama.cpp, as a rater."""

from vlm_aes.models.remote.rater import ServedRater, Settings, is_served, open_served

__all__ = ["ServedRater", "Settings", "is_served", "open_served"]
