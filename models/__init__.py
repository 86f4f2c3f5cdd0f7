"""What is looked for: patch classifiers, their cards and weights. Imports nothing else of this project."""

from models.card import ModelCard
from models.errors import ModelError
from models.registry import DEFAULT_MODEL, Model, list_models, load_folds, load_model, save_model

__all__ = ["DEFAULT_MODEL", "Model", "ModelCard", "ModelError", "list_models", "load_folds", "load_model", "save_model"]
