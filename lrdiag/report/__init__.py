"""From a run to its page, summary and run folder. Imports neither Keras nor an engine."""
