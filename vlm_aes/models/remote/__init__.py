"""Models behind an OpenAI-compatible server, such as vLLM or llama.cpp."""

from vlm_aes.models.remote.scorer import ServerScorer, ServerSettings, is_server, load_server_scorer

__all__ = ["ServerScorer", "ServerSettings", "is_server", "load_server_scorer"]
