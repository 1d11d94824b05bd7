"""The backend on the native core: named POSIX shared memory."""
