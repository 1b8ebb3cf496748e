"""Everything that uses an engine directly, or private parts of Keras."""
