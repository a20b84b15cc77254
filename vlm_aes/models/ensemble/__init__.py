"""Several raters as one: together, or each for its kind of picture."""

from vlm_aes.models.ensemble.facts import FactsScorer
from vlm_aes.models.ensemble.members import Ensemble, Member, ModelScorer
from vlm_aes.models.ensemble.router import Route, Router, open_judge

__all__ = [
    "Ensemble", "FactsScorer", "Member", "ModelScorer", "Route", "Router", "open_judge",
]  # fmt: skip
