"""Engines that evaluate the parts of a test set on several workers."""
