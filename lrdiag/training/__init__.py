"""Training a network and recording how it goes."""
