"""Every error that a caller can act on, with a common base.

A bad image is no exception but a value, :class:`vlm_aes.images.open.ImageError`: it becomes an
error row, and a run goes on.
"""


class VlmAesError(Exception):
    """Base of the errors of this package.

    Attributes:
        message: what is wrong, with the name of the file, option or model that it is about.
        hint: what to do about it; empty where the message says it.
    """

    def __init__(self, message: object, hint: str = "") -> None:
        super().__init__(str(message), hint)
        self.message = str(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class SettingsError(VlmAesError, ValueError):
    """A setting that is out of its range, or that does not go with another one."""


class TableError(VlmAesError, ValueError):
    """A table of scores that cannot be read, or that ``score`` did not write."""


class CheckpointError(VlmAesError):
    """A model that cannot be loaded, or lacks what was asked of it."""


class PromptError(VlmAesError):
    """A prompt file that cannot be used, or a style or language that it lacks."""


class CalibrationError(VlmAesError):
    """A damaged ``calibration.json``."""


class RatingsError(VlmAesError):
    """A table of ratings or preferences that cannot be read or does not fit its images."""


class EvaluationError(VlmAesError):
    """Ratings on which a model cannot be measured."""


class TrainingError(VlmAesError):
    """Settings, ratings or an output folder that training cannot start with or go on from."""


class ExportError(VlmAesError):
    """A model that cannot be written as ONNX."""


class HubError(VlmAesError):
    """A folder that cannot be pushed to the hub."""


class SourceError(VlmAesError):
    """Images that were named and cannot be listed."""


class OutputError(VlmAesError):
    """A result that cannot be written where it was asked for."""


class EngineError(VlmAesError):
    """An execution engine, such as Ray, that cannot be used."""


class ServerError(VlmAesError):
    """A model server that does not answer, or answers with an error."""


def short_text(error: object, limit: int = 200) -> str:
    """An error as one line of at most ``limit`` characters; its class where it has no message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
