"""The forms of a dense net that need a GPU: CUDA graphs and Triton kernels."""
