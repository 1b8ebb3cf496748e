"""The pictures of the page, laid out in sheets."""
