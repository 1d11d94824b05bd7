"""A DataLoader whose workers read one data set in shared memory: it is there once, however many they are.

python train.py [spawn | fork]
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from procshare import SharedArray

IMAGES = 16_384
SIDE = 64  # 64 MiB in all
WORKERS = 2
EPOCHS = 3
MIB = 1 << 20


class Images:
    """What a DataLoader asks is how many there are, and for one of them."""

    def __init__(self, pixels: SharedArray[np.uint8], labels: SharedArray[np.int64]) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, n: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.pixels.array[n]), int(self.labels.array[n])  # the same memory: no copy


def used(process: int, *fields: str) -> int:
    """Some fields of a process's memory together, in bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(fields))


def own(processes: list[int]) -> list[int]:
    """What each has for itself: pages that no other process maps."""
    return [used(process, "Private_Clean", "Private_Dirty") for process in processes]


def main(method: str = "spawn") -> None:
    """Read everything some times, and see whether the workers' memory grows."""
    with SharedArray.zeros((IMAGES, SIDE, SIDE), "B") as pixels, SharedArray(np.arange(IMAGES)) as labels:
        pixels.array[:] = np.arange(IMAGES).astype("B")[:, None, None]
        whole = torch.from_numpy(pixels.array)
        whole[0, 0, 0] = 77
        print(f"{pixels.nbytes >> 20} MiB; the tensor is the array: {pixels.array[0, 0, 0] == 77}")

        images = Images(pixels, labels)
        loader = DataLoader(images, 256, num_workers=WORKERS, multiprocessing_context=method, persistent_workers=True)
        sizes = list[list[int]]()
        for _ in range(EPOCHS):
            seen = sum(int(batch_labels.sum()) for _images, batch_labels in loader)
            workers = sorted(child.pid or 0 for child in multiprocessing.active_children())
            sizes.append(own(workers))
        growth = max(after - before for before, after in zip(sizes[0], sizes[-1], strict=True))
        once = sum(used(process, "Pss_Shmem") for process in (os.getpid(), *workers))  # a page of n processes: 1/n each

        print(f"{len(workers)} workers saw each label once an epoch: {seen == sum(range(IMAGES))}")
        print(f"grown by less than a tenth of the data: {growth < pixels.nbytes // 10}")
        print(f"all together hold the data once: {pixels.nbytes <= once < 1.5 * pixels.nbytes}")
        print(f"growth {growth / MIB:.1f} MiB, shared memory {once / MIB:.0f} MiB", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
