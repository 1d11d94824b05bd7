"""One suite for every backend: what the interfaces promise, and what a backend may decline."""
