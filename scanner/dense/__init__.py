"""A patch classifier, exactly dense: same weights, same numbers, hundreds of times cheaper."""

from scanner.dense.dense_net import DenseNet, Form, densify
from scanner.dense.patchwise import PatchwiseNet, score_patches

__all__ = ["DenseNet", "Form", "PatchwiseNet", "densify", "score_patches"]
