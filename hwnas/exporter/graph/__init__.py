"""Graph: a network as a short list of primitive operators, and how it comes from PyTorch."""
