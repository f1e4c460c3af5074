"""IndRNN, h_t = act(a_t + u ∘ h_{t-1}): Numba on the CPU, CuPy and Numba-CUDA on the GPU."""
