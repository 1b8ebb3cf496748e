"""One module a section: `build(run)` computes what `templates/sections/<key>.html.j2` then only writes down."""
