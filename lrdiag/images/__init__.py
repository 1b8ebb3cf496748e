"""Measures pictures: statistics, descriptors, copies. NumPy, SciPy and OpenCV only."""
