"""Rules between the parts of a bundle, one family a file; each reports, none changes anything."""
