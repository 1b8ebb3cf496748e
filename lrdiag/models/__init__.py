"""Networks: two built-in ones, a saved model, or what a function returns."""

from lrdiag.models.foreign import load_model, takes_images
from lrdiag.models.networks import Network, build_network

__all__ = ["Network", "build_network", "load_model", "takes_images"]
