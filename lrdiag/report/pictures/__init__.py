"""The pictures of the page, laid out on sheets."""
