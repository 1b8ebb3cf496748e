"""Run → page: `render_page`, `render_summary` and the picture sheets. Never imports Keras or TensorFlow."""
