"""The local page: files dropped in a browser, determined by the same functions as on the command line."""
