"""Images: sources, splits, and batches.

`load_dataset` reads and divides a dataset, and `load_test_set` reads the images to evaluate a trained model on.
`training_batches` and `evaluation_batches` make batches for Keras. TensorFlow, Keras, scikit-learn and OpenCV are
imported by the functions that need them, so importing this package is fast.
"""

from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.loading import load_dataset, load_test_set
from lrdiag.data.sampling import hold_out_validation, subset

__all__ = [
    "evaluation_batches",
    "hold_out_validation",
    "load_dataset",
    "load_test_set",
    "subset",
    "training_batches",
]
