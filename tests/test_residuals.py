"""What the pixels tell of an attribute beyond the overall rating."""

from types import SimpleNamespace

import numpy as np
from vlm_aes.finetune.nano.residuals import predicted_attributes


def test_a_residual_that_can_be_seen_is_predicted_for_photos_that_nobody_rated():
    rng = np.random.default_rng(0)
    n = 600
    seen = rng.normal(size=(n, 4))
    overall = rng.normal(3, 0.5, n)
    attributes = 0.2 + 0.9 * overall[:, None] + 0.3 * seen[:, :1] + rng.normal(0, 0.05, (n, 7))
    rated = np.arange(n) < 300
    photos = SimpleNamespace(
        ids=np.arange(n), facts=rng.normal(size=(n, 3)), train=np.ones(n, bool),
        aesthetic=overall, attributes=np.where(rated[:, None], attributes, np.nan),
    )  # fmt: skip
    found = predicted_attributes(photos, seen, overall)
    assert found.shape == (n, 7)
    assert np.abs(found[~rated] - attributes[~rated]).mean() < 0.1
