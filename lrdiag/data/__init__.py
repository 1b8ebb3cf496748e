"""Photographs: where they come from, how they are divided, and how they reach the network.

`load_dataset` finds and divides them, and `load_test_set` finds those that a trained network is judged on;
`training_batches` and `evaluation_batches` feed them to Keras. TensorFlow, Keras, scikit-learn, OpenCV and the like are
imported by the functions that need them, so that importing this package is cheap.
"""

from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.loading import Source, load_dataset, load_test_set
from lrdiag.data.sampling import hold_out_validation, subset
from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.data.sources.digits import Digits
from lrdiag.data.sources.image_folder import ImageFolder
from lrdiag.data.sources.npz import ImageArrays
from lrdiag.data.sources.table import ImageTable
from lrdiag.data.sources.tfds import TfdsFolder

__all__ = [
    "Cifar10",
    "Digits",
    "ImageArrays",
    "ImageFolder",
    "ImageTable",
    "Source",
    "TfdsFolder",
    "evaluation_batches",
    "hold_out_validation",
    "load_dataset",
    "load_test_set",
    "subset",
    "training_batches",
]
