"""Facts, arrays and pictures of a run, and the run folder."""
