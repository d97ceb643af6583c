"""Asks this machine's kernel how eBPF maps and hooks behave, and prints the answers as JSON. Programs are assembled here."""
import ctypes, errno, json, os, platform, socket, struct, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
HASH, ARRAY, LRU, LPM = 1, 2, 9, 11
MAP_CREATE, LOOKUP, UPDATE, DELETE, PROG_LOAD, PROG_ATTACH, PROG_DETACH, LINK_CREATE = 0, 1, 2, 3, 5, 8, 9, 28
TCX = {"ingress": 46, "egress": 47}


def bpf(cmd, attr):
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    got = libc.syscall(SYS_BPF, cmd, buffer, 128)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got


def pointer(data):
    kept = ctypes.create_string_buffer(data, max(1, len(data)))
    keep.append(kept)
    return ctypes.addressof(kept), kept


keep = []


def create(kind, key, value, entries):
    return bpf(MAP_CREATE, struct.pack("IIIII", kind, key, value, entries, 1 if kind == LPM else 0))


def update(fd, key, value, flags=0):
    bpf(UPDATE, struct.pack("IxxxxQQQ", fd, pointer(key)[0], pointer(value)[0], flags))


def delete(fd, key):
    bpf(DELETE, struct.pack("IxxxxQ", fd, pointer(key)[0]))


def lookup(fd, key, size):
    address, kept = pointer(b"\0" * size)
    bpf(LOOKUP, struct.pack("IxxxxQQ", fd, pointer(key)[0], address))
    return kept.raw[:size]


def name(call):
    try:
        call()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def maps():
    number = lambda n: struct.pack("I", n)
    index = lambda n: struct.pack("I", n - 1)
    prefix = lambda n: struct.pack("I", 32) + bytes([10, 0, 0, n])
    found = {}
    for label, kind, key, size in (("hash", HASH, number, 4), ("lpm_trie", LPM, prefix, 8), ("array", ARRAY, index, 4)):
        fd = create(kind, size, 4, 2)
        value = number(1)
        found[label] = [
            name(lambda: update(fd, key(1), value)),
            name(lambda: update(fd, key(2), value)),
            name(lambda: update(fd, key(3), value)),
            name(lambda: update(fd, key(2), value)),
            name(lambda: update(fd, key(1), value, 1)),
            name(lambda: update(fd, key(9), value, 2)),
            name(lambda: delete(fd, key(9))),
            name(lambda: update(fd, key(1), value, 4)),
        ]
        os.close(fd)
    return found


def trie(prefixes, asked):
    fd = create(LPM, 8, 4, 100)
    encode = lambda text: struct.pack("I", int(text.split("/")[1])) + socket.inet_aton(text.split("/")[0])
    for number, text in enumerate(prefixes):
        update(fd, encode(text), struct.pack("I", number))
    found = []
    for text in asked:
        try:
            found.append(prefixes[struct.unpack("I", lookup(fd, encode(text), 4))[0]])
        except OSError as error:
            found.append(errno.errorcode[error.errno])
    return found


def ins(code, dst=0, src=0, off=0, imm=0):
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


def mov(dst, imm):
    return ins(0xB7, dst, imm=imm)


def movr(dst, src):
    return ins(0xBF, dst, src)


def addi(dst, imm):
    return ins(0x07, dst, imm=imm)


def call(helper):
    return ins(0x85, imm=helper)


EXIT = ins(0x95)
load = lambda dst, src, off: ins(0x61, dst, src, off)
store = lambda dst, off, src: ins(0x63, dst, src, off)
storei = lambda dst, off, imm: ins(0x62, dst, off=off, imm=imm)
only_ipv4 = lambda verdict: movr(6, 1) + load(2, 6, 16) + ins(0x15, 2, off=2, imm=0x0008) + mov(0, verdict) + EXIT


def watch(fd, slot, verdict):
    """Notes how often and with which mark, cb[0] and TTL a packet comes by."""
    noted = (
        movr(7, 0)
        + load(1, 6, 8) + store(7, 4, 1)
        + load(1, 6, 48) + store(7, 8, 1)
        + ins(0x30, imm=22) + store(7, 12, 0)
        + load(1, 7, 0) + addi(1, 1) + store(7, 0, 1)
    )
    return (
        only_ipv4(-1)
        + storei(10, -4, slot)
        + ins(0x18, 1, 1, imm=fd) + ins(0)
        + movr(2, 10) + addi(2, -4)
        + call(1)
        + ins(0x15, 0, off=len(noted) // 8)
        + noted
        + mov(0, verdict) + EXIT
    )


def steer(how, ifindex, mac):
    """Marks a packet, gives it a destination MAC and redirects it."""
    head = only_ipv4(0) + storei(6, 8, 7) + storei(6, 48, 5)
    low, high = struct.unpack("<IH", mac)
    head += mov(1, 0) + ins(0x18, 1, imm=struct.unpack("<i", mac[:4])[0]) + ins(0) + store(10, -8, 1)
    head += storei(10, -4, high)
    if how != "neigh":
        head += movr(1, 6) + mov(2, 0) + movr(3, 10) + addi(3, -8) + mov(4, 6) + mov(5, 0) + call(9)
    head += mov(1, ifindex)
    if how == "peer":
        return head + mov(2, 0) + call(155) + EXIT
    if how == "neigh":
        return head + mov(2, 0) + mov(3, 0) + mov(4, 0) + call(152) + EXIT
    return head + mov(2, 1 if how == "ingress" else 0) + call(23) + EXIT


def load_program(code, kind=3, expected=0):
    license_, _ = pointer(b"GPL\0")
    log, text = pointer(b"\0" * 65536)
    attr = struct.pack("IIQQIIQ", kind, len(code) // 8, pointer(code)[0], license_, 1, 65536, log)
    attr = attr.ljust(68, b"\0") + struct.pack("I", expected)
    try:
        return bpf(PROG_LOAD, attr)
    except OSError as error:
        raise SystemExit(f"{error}: {text.value.decode()[-2000:]}")


def enter(netns):
    with open(f"/run/netns/{netns}") as file:
        if libc.setns(file.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def attach(netns, dev, direction, program):
    enter(netns)
    return bpf(LINK_CREATE, struct.pack("IIII", program, socket.if_nametoindex(dev), TCX[direction], 0))


def run(command, check=True):
    return subprocess.run(command.split(), check=check, capture_output=True, text=True)


def mac_of(netns, dev):
    text = run(f"ip netns exec {netns} cat /sys/class/net/{dev}/address").stdout.strip()
    return bytes.fromhex(text.replace(":", ""))


def index_of(netns, dev):
    enter(netns)
    return socket.if_nametoindex(dev)


class Pods:
    """A router `h` and pods `a` and `b` on cables; what programs do is the only way from one to the other."""

    def __init__(self, prefix):
        self.names = {short: f"{prefix}{short}" for short in "hab"}
        for full in self.names.values():
            run(f"ip netns add {full}")
            run(f"ip netns exec {full} sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
            run(f"ip -n {full} link set lo up")
        h = self.names["h"]
        for pod, address in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
            full = self.names[pod]
            run(f"ip -n {h} link add lxc{pod} type veth peer name eth0 netns {full}")
            run(f"ip -n {h} link set lxc{pod} up")
            run(f"ip -n {full} link set eth0 up")
            run(f"ip -n {full} addr add {address}/32 dev eth0")
            run(f"ip -n {full} route add 169.254.1.1 dev eth0")
            run(f"ip -n {full} route add default via 169.254.1.1")
            mac = mac_of(h, f"lxc{pod}").hex(":")
            run(f"ip -n {full} neigh replace 169.254.1.1 lladdr {mac} dev eth0")
        run(f"ip netns exec {h} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
        for dev in ("lxca", "lxcb"):
            run(f"ip netns exec {h} sysctl -qw net.ipv4.conf.{dev}.rp_filter=0")
        for pod, address in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
            run(f"ip -n {h} addr add 169.254.1.1/32 dev lxc{pod}")
            run(f"ip -n {h} route add {address} dev lxc{pod}")

    def close(self):
        for full in self.names.values():
            run(f"ip netns del {full}", check=False)

    def redirect(self, how):
        h, a = self.names["h"], self.names["a"]
        run(f"ip -n {h} link add in0 type veth peer name in1")
        for dev in ("in0", "in1"):
            run(f"ip -n {h} link set {dev} up")
        fd = create(ARRAY, 4, 16, 16)
        places = [("h", "lxcb", "egress"), ("h", "in0", "ingress"), ("b", "eth0", "ingress")]
        links = []
        for slot, (where, dev, direction) in enumerate(places):
            links.append(attach(self.names[where], dev, direction, load_program(watch(fd, slot, -1))))
        for pod, other in (("a", "b"), ("b", "a")):
            target = f"lxc{other}"
            mac = mac_of(self.names[other], "eth0")
            if how == "ingress":
                target, mac = "in0", mac_of(h, "in0")
            program = load_program(steer(how, index_of(h, target), mac))
            links.append(attach(h, f"lxc{pod}", "ingress", program))
        ok = run(f"ip netns exec {a} ping -c 1 -W 2 10.0.0.2", check=False).returncode == 0
        seen = []
        for slot, (where, dev, direction) in enumerate(places):
            count, mark, cb, ttl = struct.unpack("IIII", lookup(fd, struct.pack("I", slot), 16))
            if count > 0:
                seen.append([f"{where}/{dev} {direction}", count, mark, cb, ttl])
        for link in links:
            os.close(link)
        return {"connected": ok, "seen": seen}

    def chain(self, verdicts):
        """Programs of tcx on a's packets' way into the router that say these verdicts: how often each ran, and whether a ping came through."""
        h, a = self.names["h"], self.names["a"]
        fd = create(ARRAY, 4, 16, 16)
        links = [
            attach(h, "lxca", "ingress", load_program(watch(fd, slot, verdict)))
            for slot, verdict in enumerate(verdicts)
        ]
        ok = run(f"ip netns exec {a} ping -c 1 -W 1 10.0.0.2", check=False).returncode == 0
        counts = [struct.unpack("I", lookup(fd, struct.pack("I", slot), 16)[:4])[0] for slot in range(len(verdicts))]
        for link in links:
            os.close(link)
        return {"connected": ok, "counts": counts}


def connect4(cgroup):
    """connect() of a process in a control group whose program gives another address, and one that refuses."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]
    # user_ip4 at 4, user_port at 24, both in network order
    there = (
        movr(6, 1) + load(2, 6, 4)
        + ins(0x18, 3, imm=struct.unpack("<i", socket.inet_aton("10.96.0.1"))[0]) + ins(0)
        + ins(0x5D, 2, 3, off=4)
        + ins(0xB4, 2, imm=struct.unpack("<i", socket.inet_aton("127.0.0.1"))[0]) + store(6, 4, 2)
        + mov(2, socket.htons(port)) + store(6, 24, 2)
        + mov(0, 1) + EXIT
    )
    directory = os.open(cgroup, os.O_RDONLY)
    for label, code in (("rewritten", there), ("refused", mov(0, 0) + EXIT)):
        program = load_program(code, kind=18, expected=10)
        child = os.fork()
        if child == 0:
            with open(f"{cgroup}/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
            bpf(PROG_ATTACH, struct.pack("IIII", directory, program, 10, 0))
            client = socket.socket()
            client.settimeout(2)
            result = name(lambda: client.connect(("10.96.0.1", 80)))
            if result == "ok":
                address, peer = client.getpeername()
                result = f"{address}:{'SERVER' if peer == port else peer}"
            bpf(PROG_DETACH, struct.pack("IIII", directory, program, 10, 0))
            print(json.dumps([label, result]), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    what, *arguments = json.loads(sys.argv[1])
    if what == "maps":
        print(json.dumps(maps()))
    elif what == "trie":
        print(json.dumps(trie(*arguments)))
    elif what == "connect4":
        connect4(*arguments)
    else:
        pods = Pods(arguments[0])
        try:
            print(json.dumps(getattr(pods, what)(*arguments[1:])))
        finally:
            pods.close()
