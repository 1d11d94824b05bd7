"""Where the damage of tests/test_channel_bytes.py is aimed, and how it is done.

A part of the program in channel_victims.py. The ranges are those of src/procshare/_native/layout.h.
"""

from __future__ import annotations

DAMAGE = """
FIRST, OWED, LEASES, LEASE = 16384, 8192, 32768, 32

# Where a queue's books are, found by what they are known to say.
with SharedQueue(capacity=123_456_789, name=f"bad-queue-{os.getpid()}") as probe:
    probe.put_many([b"x" * 1000] * 7, timeout=0)
    probe.get_many(3, timeout=0)
    with open("/dev/shm/" + probe.segment, "rb") as file:
        probed = file.read(2048)
KNOWN = 7056, 3024, FIRST << 6 | 13, 123_456_789
PUTS, TAKES, RING, CAPACITY = (probed.index(struct.pack("=Q", number), 1024) for number in KNOWN)
PUTS, TAKES, RING = PUTS - 32, TAKES - 72, RING - 8  # from the second of each two books to the number that chooses

def word(data, at):
    return struct.unpack_from("=Q", data, at)[0] if 0 <= at <= len(data) - 8 else 0

def bodies(data):
    "Where the records of a queue are: their heads, and how long they are."
    extent = word(data, RING + 8 + 8 * (word(data, RING) & 1))
    at, size = extent >> 6, 1 << (extent & 63)
    tail = word(data, TAKES + 8 + 64 * (word(data, TAKES) & 1))
    head = word(data, PUTS + 8 + 24 * (word(data, PUTS) & 1))
    while tail < head and size <= len(data):
        where = at + tail % size
        length = word(data, where) & (1 << 56) - 1
        yield where, length
        tail += 8 + (length + 7 & ~7)

def of_queue(data):
    records = list(bodies(data))
    leases = [(LEASES + LEASE * i, LEASE) for i in range(6)]
    extents = [word(data, at + 8) >> 6 for at, _ in leases if word(data, at)]
    return {
        "locks": [(1024, 8), (PUTS - 8, 8), (PUTS + 56, 8), (TAKES - 8, 8)],
        "puts": [(PUTS, 56)],
        "takes": [(TAKES, 40), (TAKES + 72, 32)],
        "also": [(TAKES + 40 + 64 * (i // 2) + 16 * (i % 2), 16) for i in range(4)],
        "ring": [(RING, 24)],
        "bounds": [(CAPACITY - 16, 24)],
        "shut": [(CAPACITY + 8, 12)],
        "owed": [(at, 8) for at in range(OWED, FIRST, 8) if word(data, at)] + [(FIRST - 2048, 8), (OWED, 64)],
        "leases": leases,
        "heads": [(at, 8) for at, _ in records] + [(at - 8, 8) for at in extents],
        "bodies": [(at + 8, min(length, 64)) for at, length in records if length] + [(at, 64) for at in extents],
    }

def entries(kind, data, at):
    if "rwlock" in kind:
        return 8, [(at + 64 + 64 * i, 16) for i in range(5)]
    if "robust" in kind:
        return 8, [(at + 8 * i, 8) for i in range(768) if word(data, at + 8 * i)] + [(at, 32)]
    return 16, [(at + 16 + 16 * i, 16) for i in range(4)]

def extents(kind, data, slot):
    "What the damage is aimed at: ranges of the file."
    payload, meta = word(data, 24), word(data, 40)
    meta_size, = struct.unpack_from("=I", data, 48)
    found = {"slot": [(slot, 128)], "first": [(slot, 48)], "fields": [(0, 896)], "heap": [(HEAP_LOCK, 396)],
             "seats": [(2048, 128)], "all": [(0, len(data))], "meta": [(meta, meta_size)] if meta_size else []}
    if "small" in kind:
        found["table"] = [(8192 + 8, 64)]  # the slots' claims
    elif "queue" in kind or "items" in kind:
        found.update(of_queue(data))
    elif payload < len(data):
        size, found["entries"] = entries(kind, data, payload)
        found["table"] = [(payload, size)]
    return {area: ranges or [(slot, 128)] for area, ranges in found.items()}

def damage(path, name, kind, slot, hurts):
    fd = os.open(path, os.O_RDWR)
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        if any(how == "cut" for _, _, how, _ in hurts):
            return
        found = extents(kind, data, slot)
        tokens = [token(data), *(token(data, child) for child in others)] if others else [token(data)] * 2
        tokens.append(tokens[0] ^ 1)  # a dead one's
        for area, place, how, number in hurts:
            ranges = found.get(area) or found["first"]
            start, length = ranges[place % len(ranges)]
            where = start + place // len(ranges) % length
            change(fd, data, where, how, number)
            if how == "add":
                old, = struct.unpack("=Q", os.pread(fd, 8, where & ~7).ljust(8, b"\\0"))
                os.pwrite(fd, struct.pack("=Q", (old + number) % (1 << 64)), where & ~7)
            elif how == "token":  # of this process, a living or a dead one; with the waiters bit or a count
                living = area in ("leases", "owed", "entries")
                mine, number = tokens[number % 3 if living else number % 2 * 2], number // 3
                packed = struct.pack("=I", mine | number // 2 % 2 << 31)
                wide = struct.pack("=II", number // 2 % 5, mine)
                os.pwrite(fd, *((packed, where & ~3) if number % 2 else (wide, where & ~7)))
            elif how == "lock":
                os.pwrite(fd, struct.pack("=I", tokens[0] | number % 2 << 31), slot + 16)
            elif how == "itself":  # a condition's lock is the condition
                os.pwrite(fd, name.encode(), found["meta"][0][0])
                os.pwrite(fd, struct.pack("=I", len(name)), 48)
    finally:
        os.close(fd)

def scribble(announce, path, whole, spoiled):
    "A process that does the damage and undoes it again and again."
    changes = [at for at in range(0, len(whole), 8) if whole[at : at + 8] != spoiled[at : at + 8]]
    def do(ready):
        ready()
        fd = os.open(path, os.O_RDWR)
        while True:
            for data in (spoiled, whole):
                for at in changes:
                    os.pwrite(fd, data[at : at + 8], at)
    another(announce, do, False)
"""
