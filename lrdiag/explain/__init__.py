"""Where a network looks: Grad-CAM for whole test sets."""
