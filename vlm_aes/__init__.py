"""vlm_aes rates pictures with a vision-language model, and says why."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_aes.assessor import Assessment, Assessor

__all__ = ["Assessment", "Assessor"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # loading torch takes seconds; `vlm-aes --help` should not
    if name in __all__:
        from vlm_aes import assessor

        return getattr(assessor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
