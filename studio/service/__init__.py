"""Jobs and files behind the page."""
