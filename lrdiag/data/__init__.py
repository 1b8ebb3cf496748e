"""Images: sources, splits, and batches.

`load_dataset` reads and divides a dataset. `list_test_images` lists the images to evaluate a trained model on.
scikit-learn and OpenCV are imported by the functions that need them, so importing this package is fast. The modules
`batches` and `random_batches` make batches for Keras and import it.
"""

from lrdiag.data.loading import list_test_images, load_dataset
from lrdiag.data.sampling import hold_out_validation, subset

__all__ = [
    "hold_out_validation",
    "list_test_images",
    "load_dataset",
    "subset",
]
