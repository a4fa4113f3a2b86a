"""An application of several files, whose mistakes show only across them."""
