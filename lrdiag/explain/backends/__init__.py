"""The one seam to TensorFlow, JAX and PyTorch."""
