"""Known phases: a library of structures' lines, and the search that recognises a scan in it."""
