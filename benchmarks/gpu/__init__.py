"""What a GPU does with the dense nets and the scan's loop, each stage beside its bound; needs torch and numpy alone."""
