"""Photographs: where they come from, how they are divided, and how they reach the network.

`load_dataset` finds and divides them; `training_batches` and `evaluation_batches` feed them to Keras. TensorFlow,
Keras, scikit-learn and OpenCV are imported by the functions that need them, so that importing this package is cheap.
"""

from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.cifar10 import Cifar10
from lrdiag.data.digits import Digits
from lrdiag.data.image_folder import ImageFolder
from lrdiag.data.loading import Source, load_dataset
from lrdiag.data.sampling import hold_out_validation, subset

__all__ = [
    "Cifar10",
    "Digits",
    "ImageFolder",
    "Source",
    "evaluation_batches",
    "hold_out_validation",
    "load_dataset",
    "subset",
    "training_batches",
]
