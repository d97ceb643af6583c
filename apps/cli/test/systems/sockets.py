"""Serves and connects in namespaces that others made: one JSON request on stdin, one answer on stdout."""

import concurrent.futures, ctypes, errno, json, select, socket, struct, subprocess, sys, threading

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50


def enter(netns):
    """Takes the calling thread into a namespace; sockets stay in the one that they were made in."""
    with open(f"/run/netns/{netns}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")


def plain(address):
    return address.removeprefix("::ffff:")


def framed(length, content=b""):
    """Its own length in eight digits, content, filling."""
    return (b"%08d" % length + content).ljust(length, b"\0")


def is_whole(got):
    return len(got) >= 8 and len(got) >= int(got[:8])


class Servers:
    """They tell who they are and whom they see, TCP in a segment as full as it can be."""

    def __init__(self, servers):
        self.poll, self.handlers = select.poll(), {}
        for server in servers:
            enter(server["netns"])
            for family in (socket.AF_INET, socket.AF_INET6):
                address = server.get("address")
                if address and (":" in address) != (family == socket.AF_INET6):
                    continue
                self.open(family, address or ("" if family == socket.AF_INET else "::"), server)
        threading.Thread(target=self.serve, daemon=True).start()

    def open(self, family, address, server):
        is_tcp = server["protocol"] == "TCP"
        sock = socket.socket(family, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if not is_tcp:  # to answer from the address that was asked
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        sock.bind((address, server["port"]))
        if is_tcp:
            sock.listen(128)
        handler = self.accept if is_tcp else self.datagram
        self.add(sock, lambda: handler(sock, server["owner"]))

    def add(self, sock, handler):
        self.handlers[sock.fileno()] = handler
        self.poll.register(sock, select.POLLIN)

    def serve(self):
        while True:
            for fd, _ in self.poll.poll():
                try:
                    self.handlers[fd]()
                except OSError:
                    pass

    def accept(self, listener, owner):
        sock, peer = listener.accept()
        sock.setblocking(False)
        got = bytearray()

        def data():
            try:
                chunk = sock.recv(65536)
            except OSError:
                chunk = b""
            got.extend(chunk)
            if not chunk:
                self.poll.unregister(sock)
                sock.close()
            elif is_whole(got):
                length = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                sock.send(framed(length, report(owner, peer)))

        self.add(sock, data)

    def datagram(self, sock, owner):
        _, controls, _, peer = sock.recvmsg(65536, 512)
        answer = []
        for level, kind, value in controls:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                _, asked, _ = struct.unpack("I4s4s", value)
                answer = [(level, kind, struct.pack("I4s4s", 0, asked, bytes(4)))]
            elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                answer = [(level, kind, value[:16] + struct.pack("I", 0))]
        content = report(owner, peer)
        sock.sendmsg([framed(8 + len(content), content)], answer, 0, peer)


def report(owner, peer):
    return json.dumps({"owner": owner, "seen": plain(peer[0])}).encode()


def forget_path_mtus(netns):
    for family in ("-4", "-6"):
        command = ["ip", "-netns", netns, family, "route", "flush", "cache", "table", "all"]
        subprocess.run(command, check=True, capture_output=True)


def ask_alone(probe, machines, wait):
    for netns in machines:
        forget_path_mtus(netns)
    return ask(probe, wait)


def ask(probe, wait):
    try:
        enter(probe["netns"])
        family = socket.AF_INET6 if ":" in probe["address"] else socket.AF_INET
        kind = socket.SOCK_STREAM if probe["protocol"] == "TCP" else socket.SOCK_DGRAM
        with socket.socket(family, kind) as sock:
            return talk(sock, probe, wait)
    except OSError as error:
        return {"errno": errno.errorcode.get(error.errno, str(error))}


def talk(sock, probe, wait):
    is_tcp = probe["protocol"] == "TCP"
    limit = struct.pack("ll", wait, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    if is_tcp:  # closes by a reset: nothing waits for stragglers
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        sock.connect((probe["address"], probe["port"]))
    except BlockingIOError:
        return {"errno": "ETIMEDOUT"}
    length = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) if is_tcp else 64
    try:
        sock.sendall(framed(length))
        got = b""
        while not is_whole(got):
            chunk = sock.recv(65536)
            if not chunk:
                return {"stalled": True}
            got += chunk
    except BlockingIOError:
        return {"stalled": True} if is_tcp else {"errno": "ETIMEDOUT"}
    return json.loads(got[8:].rstrip(b"\0"))


request = json.load(sys.stdin)
probes, machines, wait = request["probes"], request["machines"], request["wait"]
Servers(request["servers"])
answers = [None] * len(probes)
together = [i for i, probe in enumerate(probes) if not probe["alone"]]
with concurrent.futures.ThreadPoolExecutor(request["atOnce"]) as pool:
    for i, answer in zip(together, pool.map(lambda i: ask(probes[i], wait), together)):
        answers[i] = answer
for i, probe in enumerate(probes):
    if probe["alone"]:
        answers[i] = ask_alone(probe, machines, wait)
json.dump(answers, sys.stdout)
