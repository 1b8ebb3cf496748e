"""Images: sources, splits, and batches.

`load_dataset` reads and divides a dataset, and `load_test_set` reads the images to evaluate a trained model on.
`training_batches` and `evaluation_batches` make batches for Keras. TensorFlow, Keras, scikit-learn and OpenCV are
imported by the functions that need them, so importing this package is fast.
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
