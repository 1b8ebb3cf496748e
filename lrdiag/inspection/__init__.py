"""Observes a model, its training data and its training run. The rules of `lrdiag.diagnosis` draw the conclusions."""
