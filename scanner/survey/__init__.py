"""What is learnt of a whole slide before the network runs: tissue, masks, ink, stain."""
