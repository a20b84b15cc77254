"""The cache of embeddings on disk."""

import numpy as np
import pytest

from vlm_aes.models.heads.embedding_cache import EmbeddingCache


def test_cached_embeddings_survive_a_torn_end(tmp_path):
    cache = EmbeddingCache(tmp_path, "model", 3)
    keys = [f"{i:064x}" for i in range(5)]
    cache.append(keys[:4], np.arange(12).reshape(4, 3))
    with next(tmp_path.rglob("rows.bin")).open("ab") as file:
        file.write(b"\1\2\3\4\5\6\7")
    again = EmbeddingCache(tmp_path, "model", 3)
    assert len(again) == 4 and keys[4] not in again
    again.append(keys[4:], [[7, 8, 9]])
    assert EmbeddingCache(tmp_path, "model", 3).rows([keys[4], keys[1]]).tolist() == [[7, 8, 9], [3, 4, 5]]
    assert len(EmbeddingCache(tmp_path, "another model", 3)) == 0
    with pytest.raises(ValueError, match="expected"):
        again.append(keys[:1], [[1, 2]])
