"""What sharing costs on this machine: procshare's types beside the standard library's, in the same run.

`procshare bench` is the command. The programs under `benchmarks/` measure with the same instruments.
"""
