"""Serves and connects in namespaces that others made: one JSON request on stdin, one answer on stdout."""

import ctypes, errno, json, resource, select, socket, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ICMP_ECHO, IP_RECVERR = 8, 11
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
BACKLOG = 4096
STARTED_AT_ONCE = 16


def enter(netns):
    """Takes this process into a namespace; sockets stay in the one that they were made in."""
    with open(f"/run/netns/{netns}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")


def limit_no_errors(netns):
    """Everybody asks at once, and the model's machines answer each of them (sysctl-inert.ts)."""
    enter(netns)
    for mask, none in (("ipv4/icmp_ratemask", "0"), ("ipv6/icmp/ratemask", "")):
        with open(f"/proc/sys/net/{mask}", "w") as file:
            file.write(f"{none}\n")


def family_of(there):
    return socket.AF_INET6 if ":" in there[0] else socket.AF_INET


def plain(address):
    return address.removeprefix("::ffff:")


def framed(length, content=b""):
    """Its own length in eight digits, content, filling."""
    return (b"%08d" % length + content).ljust(length, b"\0")


def is_whole(got):
    return len(got) >= 8 and len(got) >= int(got[:8])


class Loop:
    """Servers and clients all wait here, so that it takes no longer to wait for many than for one."""

    def __init__(self):
        self.poll, self.handlers = select.epoll(), {}

    def add(self, sock, events, handler):
        self.handlers[sock.fileno()] = handler
        self.poll.register(sock, events)

    def forget(self, sock):
        del self.handlers[sock.fileno()]
        self.poll.unregister(sock)

    def remove(self, sock):
        self.forget(sock)
        sock.close()

    def turn(self, seconds):
        """Returns whether anything was there."""
        ready = self.poll.poll(seconds)
        for fd, _ in ready:
            if fd in self.handlers:  # else one that was handled before it has closed it
                self.handlers[fd]()
        return bool(ready)


class Servers:
    """They tell who they are and whom they see, TCP in a segment as full as it can be; relays pass on what they are asked."""

    def __init__(self, servers, loop):
        self.loop = loop
        for server in servers:
            enter(server["netns"])
            for family in (socket.AF_INET, socket.AF_INET6):
                address = server.get("address")
                if address and (":" in address) != (family == socket.AF_INET6):
                    continue
                self.open(family, address or ("" if family == socket.AF_INET else "::"), server)

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
            sock.listen(BACKLOG)
        self.loop.add(sock, select.EPOLLIN, self.program(sock, server, is_tcp))

    def program(self, sock, server, is_tcp):
        relay = server.get("relay")
        if relay is None:
            handler = self.accept if is_tcp else self.datagram
            return lambda: handler(sock, server["owner"])
        there = (relay["address"], relay["port"])
        if is_tcp:
            return lambda: StreamRelay(self.loop, sock, server["netns"], there)
        return DatagramRelay(self.loop, sock, server["netns"], there).pass_on

    def accept(self, listener, owner):
        try:
            sock, peer = listener.accept()
        except OSError:  # it went before it was met
            return
        sock.setblocking(False)
        got = bytearray()

        def data():
            try:
                chunk = sock.recv(65536)
                got.extend(chunk)
                if chunk and is_whole(got):
                    length = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                    sock.send(framed(length, report(owner, peer)))
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self.loop.remove(sock)

        self.loop.add(sock, select.EPOLLIN, data)

    def datagram(self, sock, owner):
        try:
            _, controls, _, peer = sock.recvmsg(65536, 512)
            content = report(owner, peer)
            sock.sendmsg([framed(8 + len(content), content)], answer_from(controls), 0, peer)
        except OSError:  # what an earlier answer met with
            pass


class StreamRelay:
    """A connection that is passed on to another one, until either ends."""

    def __init__(self, loop, listener, netns, there):
        try:
            self.front, _ = listener.accept()
        except OSError:  # it went before it was met
            return
        self.loop, self.there = loop, there
        enter(netns)
        self.back = socket.socket(family_of(there), socket.SOCK_STREAM)
        self.front.setblocking(False)
        self.back.setblocking(False)
        self.back.connect_ex(there)
        loop.add(self.back, select.EPOLLOUT, self.connect)

    def connect(self):
        state = self.back.connect_ex(self.there)
        if state in (errno.EINPROGRESS, errno.EALREADY):
            return
        if state not in (0, errno.EISCONN):
            self.loop.remove(self.back)
            self.front.close()
            return
        self.loop.forget(self.back)
        for source, sink in ((self.front, self.back), (self.back, self.front)):
            self.loop.add(source, select.EPOLLIN, lambda ends=(source, sink): self.pass_on(*ends))

    def pass_on(self, source, sink):
        try:
            chunk = source.recv(65536)
            sink.sendall(chunk)  # less than a buffer has room for
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.loop.remove(source)
            self.loop.remove(sink)


class DatagramRelay:
    """Datagrams that are passed on, each client's from a socket of its own."""

    def __init__(self, loop, front, netns, there):
        self.loop, self.front, self.netns, self.there = loop, front, netns, there
        self.backs = {}

    def pass_on(self):
        try:
            payload, controls, _, peer = self.front.recvmsg(65536, 512)
            if peer not in self.backs:
                self.backs[peer] = self.open(peer, answer_from(controls))
            self.backs[peer].send(payload)
        except OSError:  # what an earlier datagram met with
            pass

    def open(self, peer, source):
        enter(self.netns)
        back = socket.socket(family_of(self.there), socket.SOCK_DGRAM)
        back.setblocking(False)
        back.connect(self.there)

        def answer():
            try:
                self.front.sendmsg([back.recv(65536)], source, 0, peer)
            except OSError:
                pass

        self.loop.add(back, select.EPOLLIN, answer)
        return back


def answer_from(controls):
    for level, kind, value in controls:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, asked, _ = struct.unpack("I4s4s", value)
            return [(level, kind, struct.pack("I4s4s", 0, asked, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            return [(level, kind, value[:16] + struct.pack("I", 0))]
    return []


def report(owner, peer):
    return json.dumps({"owner": owner, "seen": plain(peer[0])}).encode()


class Late(Exception):
    """Nothing came in the time that one waits."""


class Clients:
    """Each asks and waits; what it heard is kept under its number."""

    def __init__(self, loop, wait):
        self.loop, self.wait = loop, wait
        self.waiting, self.answers = {}, {}  # who has waited longest comes first

    def ask(self, probes):
        """By namespaces, so that each is entered once."""
        netns = None
        for started, number in enumerate(sorted(probes, key=lambda number: probes[number]["netns"])):
            probe = probes[number]
            if probe["netns"] != netns:
                netns = probe["netns"]
                enter(netns)
            self.start(number, probe)
            if started % STARTED_AT_ONCE == 0:
                self.meet()
                netns = None  # programs that were met may have gone elsewhere
        while self.waiting:
            until, *_ = next(iter(self.waiting.values()))
            left = until - time.monotonic()
            if not self.loop.turn(max(left, 0)) and left <= 0:
                self.go_on(next(iter(self.waiting)), late=True)

    def meet(self):
        while self.loop.turn(0):
            pass

    def start(self, number, probe):
        family = socket.AF_INET6 if ":" in probe["address"] else socket.AF_INET
        kind, protocol, program = CLIENTS[probe["protocol"]]
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        self.loop.add(sock, 0, lambda: self.go_on(number))
        asking = program(sock, (probe["address"], probe["port"]))
        self.waiting[number] = (0, 0, sock, asking)
        self.go_on(number)

    def go_on(self, number, late=False):
        """Until it waits again, for what it yields."""
        _, awaited, sock, asking = self.waiting[number]
        try:
            events = asking.throw(Late()) if late else next(asking)
        except StopIteration as end:
            self.end(number, end.value)
        except OSError as error:
            self.end(number, {"errno": errno.errorcode.get(error.errno, str(error))})
        else:
            if events != awaited:
                self.loop.poll.modify(sock, events)
                del self.waiting[number]
                self.waiting[number] = (time.monotonic() + self.wait, events, sock, asking)

    def end(self, number, answer):
        _, _, sock, _ = self.waiting.pop(number)
        self.loop.remove(sock)
        self.answers[number] = answer


def stream(sock, there):
    # closes by a reset: nothing waits for stragglers
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        # Asked again, connect tells what became of it; SO_ERROR would also tell of errors that end nothing.
        while (state := sock.connect_ex(there)) in (errno.EINPROGRESS, errno.EALREADY):
            forget_errors(sock)
            yield select.EPOLLOUT
    except Late:
        return {"errno": "ETIMEDOUT"}
    if state not in (0, errno.EISCONN):
        raise OSError(state, "connect")
    sock.send(framed(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)))
    got = b""
    try:
        while not is_whole(got):
            yield select.EPOLLIN
            chunk = sock.recv(65536)
            if not chunk:
                return {"stalled": True}
            got += chunk
    except Late:
        return {"stalled": True}
    return content(got)


def forget_errors(sock):
    """Those that do not end an attempt are kept (tcp_v4_err), and would be there each time that one looks."""
    try:
        while True:
            sock.recvmsg(0, 0, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        pass


def hear_of_errors(sock):
    """Of those that end nothing, too: that nobody has an address."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def datagram(sock, there):
    hear_of_errors(sock)
    sock.connect(there)
    sock.send(framed(64))
    try:
        yield select.EPOLLIN
    except Late:
        return {"errno": "ETIMEDOUT"}
    return content(sock.recv(65536))


def ping(sock, there):
    """IPv4; the kernel writes identifier and checksum."""
    hear_of_errors(sock)
    sock.connect((there[0], 0))
    sock.send(struct.pack("!BBHHH", ICMP_ECHO, 0, 0, 0, 1) + bytes(range(56)))
    try:
        yield select.EPOLLIN
    except Late:
        return {"errno": "ETIMEDOUT"}
    _, peer = sock.recvfrom(65536)
    return {"replied": peer[0]}


CLIENTS = {
    "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP, stream),
    "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP, datagram),
    "ICMP": (socket.SOCK_DGRAM, socket.IPPROTO_ICMP, ping),
}


def content(got):
    return json.loads(got[8:].rstrip(b"\0"))


def forget_path_mtus(netns):
    for family in ("-4", "-6"):
        command = ["ip", "-netns", netns, family, "route", "flush", "cache", "table", "all"]
        subprocess.run(command, check=True, capture_output=True)


_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
request = json.load(sys.stdin)
machines = request["machines"]
for netns in request["namespaces"]:
    limit_no_errors(netns)
loop = Loop()
Servers(request["servers"], loop)
clients = Clients(loop, request["wait"])
probes = dict(enumerate(request["probes"]))
clients.ask({number: probe for number, probe in probes.items() if not probe["alone"]})
for number, probe in probes.items():
    if probe["alone"]:
        for netns in machines:
            forget_path_mtus(netns)
        clients.ask({number: probe})
json.dump([clients.answers[number] for number in probes], sys.stdout)
