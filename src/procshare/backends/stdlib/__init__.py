"""The backend on the standard library: multiprocessing, wrapped as it is."""
