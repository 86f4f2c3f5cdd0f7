"""Scale on paper: more processors by the measured serial share, a cluster by its own dispatcher with measured times."""
