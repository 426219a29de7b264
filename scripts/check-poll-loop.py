#!/usr/bin/env python3
"""Shows that neither panic nor allocation is reachable from the poll loop of a linked binary.

Walks every direct call and jump from Worker::poll in the disassembly. Functions outside the binary
and calls through a pointer end the walk: each must be named below with its reason, or the check fails.
"""
import collections
import re
import subprocess
import sys

ROOT = re.compile(r"^pvs_dataplane::worker::Worker<.*>::poll$")

# What must not be reachable, and what it is.
FORBIDDEN = [
    (re.compile(r"panic|unwrap_failed|expect_failed|begin_unwind|handle_error|^abort$|^_Unwind_"), "panic"),
    (re.compile(r"^core::(option|result|slice::index|str|cell)::\w*fail"), "panic"),
    (re.compile(r"^_*(__rust_|__rdl_|__rg_|rust_)\w*(alloc|dealloc|realloc)"), "allocator"),
    (re.compile(r"^(malloc|calloc|realloc|free|posix_memalign|aligned_alloc)$"), "allocator"),
    (re.compile(r"^(alloc::|std::alloc)"), "allocator"),
    (re.compile(r"^(std::io|tracing|log::)"), "log line"),
]

# Functions of other libraries that may be called, and why.
OUTSIDE = {
    "memcpy": "moves bytes",
    "memmove": "moves bytes",
    "memset": "sets bytes",
    "memcmp": "compares bytes",
    "bcmp": "compares bytes",
    "sched_yield": "a bounded ring of crossbeam gives way to a thread that was stopped within its own push or pop",
}

# Forbidden functions that may be called all the same, by whom alone, and why.
EXCEPTIONS = {
    ("__rte_panic", "rte_mempool_get_ops"): "DPDK checks that a pool's operations exist, which they do once it is made",
}

# Functions that call through a pointer, how often at most, and where it leads.
POINTERS = [
    (re.compile(r"^<?pvs_dpdk::port::DpdkPort.*::rx$"), 1, "the driver's receive function"),
    (re.compile(r"^<?pvs_dpdk::port::DpdkPort.*::tx$"), 5, "the driver's transmit function, tried a few times"),
    (re.compile(r"^shim_pktmbuf_free$"), 8, "the pool's own functions, of DPDK"),
    (re.compile(r"^shim_pktmbuf_alloc$"), 2, "the pool's own functions, of DPDK: a buffer for a piece that a packet is cut into"),
    (re.compile(r"^pvs_dpdk::port::(DpdkPort::drop_chained|drop_from)$"), 1, "the pool's own functions, of DPDK"),
]


def symbols_of_relocations(binary):
    """Address of a GOT slot -> the symbol that the loader puts there."""
    out = subprocess.run(["readelf", "-rW", binary], check=True, capture_output=True, text=True).stdout
    slots = {}
    for line in out.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[2] in ("R_X86_64_GLOB_DAT", "R_X86_64_JUMP_SLOT"):
            slots[int(fields[0], 16)] = fields[4].split("@")[0]
    # Pointers to functions of the binary itself, in its own tables.
    for line in out.splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[2] == "R_X86_64_RELATIVE":
            slots.setdefault(int(fields[0], 16), int(fields[3], 16))
    return slots


def disassemble(binary):
    command = ["objdump", "-d", "--no-show-raw-insn", "-C", "-M", "intel", binary]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True).stdout


HEAD = re.compile(r"^([0-9a-f]+) <(.*)>:$")
FLOW = re.compile(r"^\s*([0-9a-f]+):\s+(?:bnd |notrack |rep |lock )?(call|jmp|j[a-z]+)\s+(.*)$")
DIRECT = re.compile(r"^([0-9a-f]+) <(.*)>")
GOT = re.compile(r"\[rip\+0x[0-9a-f]+\]\s+#\s+([0-9a-f]+)")
# An instruction that writes a whole register; a call through it goes where the last one before it says.
WRITE = re.compile(r"^\s*[0-9a-f]+:\s+(?:mov|lea|pop|xor|add|sub)\w*\s+(r[a-z0-9]+)(?:,(.*))?$")
REGISTER = re.compile(r"^(r[a-z0-9]+)$")
# A `match` as a table of distances: the compiler's own, whose places are all in the same function.
TABLE = re.compile(
    r"movsxd (?P<to>r\w+),DWORD PTR \[(?P<table>r\w+)\+r\w+\*4\]\n.*add +(?P=to),(?P=table)(?:\n.*){0,8}\n.*jmp +(?P=to)$"
)


class Function:
    def __init__(self, name):
        self.name = name
        self.calls = set()      # addresses of functions of the binary
        self.outside = set()    # names
        self.pointers = []      # instructions that could not be followed


def read(binary):
    slots = symbols_of_relocations(binary)
    functions, here, start, registers = {}, None, 0, {}
    jumps = []
    lately = collections.deque(maxlen=12)
    for line in disassemble(binary):
        lately.append(line.strip())
        head = HEAD.match(line)
        if head:
            start = int(head.group(1), 16)
            name = head.group(2)
            here = functions.setdefault(start, Function(name))
            registers = {}
            continue
        write = WRITE.match(line)
        if write:
            source = write.group(2) or ""
            slot = GOT.search(source)
            known = slots.get(int(slot.group(1), 16)) if slot else None
            copied = registers.get(source) if "mov" in line else None
            registers[write.group(1)] = known if slot else copied
            continue
        flow = FLOW.match(line)
        if not flow or here is None:
            continue
        target = flow.group(3)
        direct, got = DIRECT.match(target), GOT.search(target)
        if direct:
            jumps.append((start, int(direct.group(1), 16), direct.group(2)))
        elif got:
            slot = slots.get(int(got.group(1), 16))
            if isinstance(slot, str):
                here.outside.add(slot)
            elif slot is not None:
                jumps.append((start, slot, ""))
            else:
                here.pointers.append(line.strip())
        elif REGISTER.match(target) and isinstance(registers.get(target), str):
            here.outside.add(registers[target])
        elif REGISTER.match(target) and isinstance(registers.get(target), int):
            jumps.append((start, registers[target], ""))
        elif flow.group(2) == "jmp" and TABLE.search("\n".join(lately)):
            pass
        elif "[" in target or REGISTER.match(target):
            here.pointers.append(line.strip())
    starts = sorted(functions)
    for source, target, text in jumps:
        plt = re.match(r"^(.*)@plt$", text)
        if plt:
            functions[source].outside.add(plt.group(1))
            continue
        if target in functions:
            if target != source:
                functions[source].calls.add(target)
            continue
        # Into the middle of a function: its own, or a part that was split off.
        owner = starts[max(0, bisect(starts, target) - 1)]
        if owner != source:
            functions[source].calls.add(owner)
    return functions


def bisect(items, value):
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


def trace(parents, functions, address):
    names = []
    while address is not None:
        names.append(functions[address].name)
        address = parents[address]
    return " <- ".join(names)


def forbidden(name):
    return next((what for pattern, what in FORBIDDEN if pattern.search(name)), None)


def is_switch(instruction):
    """A jump through a table of the function's own, as a match compiles to: stays inside."""
    return re.search(r"\bjmp\s+r[a-z0-9]+$", instruction) is not None


def main():
    binary = sys.argv[1]
    functions = read(binary)
    roots = [a for a, f in functions.items() if ROOT.match(f.name)]
    if not roots:
        sys.exit(f"check-poll-loop: {binary} has no symbol of the poll loop")
    parents = {root: None for root in roots}
    queue = collections.deque(roots)
    bad, used = set(), {}
    while queue:
        address = queue.popleft()
        function = functions[address]
        kind = forbidden(function.name)
        if kind:
            bad.add(f"{kind}: {trace(parents, functions, address)}")
            continue
        for name in function.outside:
            kind = forbidden(name)
            excuse = next((why for (callee, caller), why in EXCEPTIONS.items()
                           if callee == name and function.name.startswith(caller)), None)
            excuse = excuse or (OUTSIDE.get(name) if not kind else None)
            if excuse:
                used[name] = excuse
            else:
                bad.add(f"{kind or 'not named here'}: {name} <- {trace(parents, functions, address)}")
        calls = sum(not is_switch(instruction) for instruction in function.pointers)
        allowed, why = next(((n, why) for p, n, why in POINTERS if p.search(function.name)), (0, ""))
        if calls > allowed:
            bad.add(f"{calls} calls through a pointer, {allowed} named here: {trace(parents, functions, address)}")
        elif calls:
            used[function.name] = why
        for target in function.calls:
            if target not in parents:
                parents[target] = address
                queue.append(target)
    for name in sorted(used):
        print(f"  may call {name}: {used[name]}")
    for line in sorted(bad):
        print(f"  REACHABLE {line}")
    print(f"poll loop: {len(parents)} functions reachable, {len(bad)} forbidden")
    sys.exit(1 if bad else 0)


main()
