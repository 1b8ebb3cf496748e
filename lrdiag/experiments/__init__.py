"""Tries a trained model on changed images: corrections, covered places, pasted places."""
