"""What can go wrong with a model.

ModelError
 ├── ModelNotFoundError   no such name or folder
 ├── ModelDamagedError    card or weights are unreadable, or do not belong together
 ├── CardError            a card's value is missing or impossible
 ├── ExtraMissingError    reading it needs a package that is not installed
 └── CodeRefusedError     the model is code, and only files that are none are accepted here
"""


class ModelError(Exception):
    """Base of everything that `models` raises on purpose.

    Examples
    --------
    >>> from models import ModelError, load_model
    >>> try:
    ...     load_model("nosuch")
    ... except ModelError as error:
    ...     print(type(error).__name__)
    ModelNotFoundError
    """


class ModelNotFoundError(ModelError, LookupError):
    """No shipped model and no model folder has this name."""


class ModelDamagedError(ModelError, ValueError):
    """Card and weights are unreadable, or do not belong together."""


class CardError(ModelError, ValueError):
    """A value in a model card is missing, unknown or impossible."""


class ExtraMissingError(ModelError, ImportError):
    """A package that this kind of model needs is not installed."""


class CodeRefusedError(ModelError, PermissionError):
    """The model is code that would run with the rights of this process."""
