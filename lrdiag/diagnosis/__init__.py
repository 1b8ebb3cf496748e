"""What the predictions say: figures, confusions, mistakes, findings. Arrays in, records out."""
