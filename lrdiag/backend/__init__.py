"""Everything that knows an engine or reaches into Keras; nothing else does."""
