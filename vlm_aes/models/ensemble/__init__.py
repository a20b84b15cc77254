"""Several scorers as one: weighed together, or each for its kind of image."""

from vlm_aes.models.ensemble.ensemble import Ensemble, Member
from vlm_aes.models.ensemble.facts import FactsRegression, FactsScorer
from vlm_aes.models.ensemble.router import Route, Router, load_route_classifier

__all__ = ["Ensemble", "FactsRegression", "FactsScorer", "Member", "Route", "Router", "load_route_classifier"]
