"""Learning-rate policies as Keras callbacks and schedules, and the range test."""
