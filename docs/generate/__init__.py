"""The pages of the site that are written by the code itself, each time the site is built."""
