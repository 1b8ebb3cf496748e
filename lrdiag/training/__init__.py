"""Trains a network and records the training run."""
