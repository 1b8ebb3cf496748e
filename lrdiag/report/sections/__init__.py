"""One module for each section: `build(run)` computes the content that `templates/sections/<key>.html.j2` renders."""
