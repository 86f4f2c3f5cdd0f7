"""A patch classifier, exactly dense: same weights, same numbers, hundreds of times cheaper."""

from scanner.dense.conversion.patchwise import PatchwiseNet, score_patches
from scanner.dense.dense_net import DenseNet, Form, densify

__all__ = ["DenseNet", "Form", "PatchwiseNet", "densify", "score_patches"]
