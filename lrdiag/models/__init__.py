"""Networks: two built-in ones, a saved model, or what a function returns."""

from lrdiag.models.foreign import load_model, takes_images
from lrdiag.models.networks import Network, build_network
from lrdiag.models.resizable import at_any_size

__all__ = ["Network", "at_any_size", "build_network", "load_model", "takes_images"]
