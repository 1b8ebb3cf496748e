"""Diagnosis: turns predictions into figures, mistakes and findings. Imports neither Keras nor an engine."""
