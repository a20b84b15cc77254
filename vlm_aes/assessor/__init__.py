"""One object that rates, measures and explains images, whichever checkpoint is behind it."""

from vlm_aes.assessor.assessment import Assessment, PreparedImage, Source
from vlm_aes.assessor.assessor import Assessor, terms_of

__all__ = ["Assessment", "Assessor", "PreparedImage", "Source", "terms_of"]
