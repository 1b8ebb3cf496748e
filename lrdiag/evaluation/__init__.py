"""One pass of a model over images: scores, heatmaps, pictures."""
