"""Sends and answers packets in namespaces that others made: one JSON request a line in, one answer a line out."""

import ctypes, errno, fcntl, json, os, select, socket, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
IP_PKTINFO, IP_TTL, IP_RECVERR, IP_RECVTTL = 8, 2, 11, 12
IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_RECVERR, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, IPV6_UNICAST_HOPS = 49, 50, 25, 51, 52, 16
IP_TRANSPARENT, IPV6_TRANSPARENT, TCP_SAVE_SYN, TCP_SAVED_SYN = 19, 75, 27, 28
SCTP_MAXSEG = 13
TCP_PORT, UDP_PORT = 80, 53


def enter(netns):
    with open(f"/run/netns/{netns}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")


def name_of(number):
    return errno.errorcode.get(number, str(number))


def sctp_socket(family):
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


def kernel_has_sctp():
    try:
        sctp_socket(socket.AF_INET).close()
    except OSError:
        return False
    return True


def own_addresses(family):
    """Those of the namespace that the calling thread is in, without link-local ones."""
    if family == socket.AF_INET6:
        with open("/proc/thread-self/net/if_inet6") as lines:
            found = [bytes.fromhex(line.split()[0]) for line in lines]
        return [socket.inet_ntop(family, each) for each in found if each[:2] != b"\xfe\x80"]
    with open("/proc/thread-self/net/fib_trie") as lines:
        trie = lines.read().split()
    # "|-- ADDRESS /32 host LOCAL", once in each of two tables where rules have kept them apart
    return sorted({trie[i - 1] for i in range(len(trie) - 2) if trie[i : i + 3] == ["/32", "host", "LOCAL"]})


class Servers:
    """
    Echo servers of both families in each namespace; they note whom they saw. SCTP where the kernel has it, with a socket
    for each address: one for all of them would announce them all to each client, which then tries them in turn.
    """

    def __init__(self, namespaces):
        self.seen, self.poll, self.sockets, self.stop = {}, select.poll(), {}, False
        self.idle = threading.Event()
        for netns in namespaces:
            starter = threading.Thread(target=self.open, args=(netns,))
            starter.start()
            starter.join()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def open(self, netns):
        enter(netns)
        has_sctp = kernel_has_sctp()
        for family in (socket.AF_INET, socket.AF_INET6):
            any_address = "0.0.0.0" if family == socket.AF_INET else "::"
            tcp = socket.socket(family, socket.SOCK_STREAM)
            udp = socket.socket(family, socket.SOCK_DGRAM)
            for each in (tcp, udp):
                each.setblocking(False)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if family == socket.AF_INET:
                udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
                udp.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            else:
                udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            tcp.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
            tcp.bind((any_address, TCP_PORT))
            udp.bind((any_address, UDP_PORT))
            tcp.listen(64)
            self.add(tcp, netns, self.accept)
            for address in own_addresses(family) if has_sctp else []:
                sctp = sctp_socket(family)
                sctp.setblocking(False)
                if family == socket.AF_INET6:
                    sctp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sctp.bind((address, TCP_PORT))
                sctp.listen(64)
                self.add(sctp, netns, self.accept)
            self.add(udp, netns, self.datagram)

    def add(self, sock, netns, handler):
        self.sockets[sock.fileno()] = (sock, netns, handler)
        self.poll.register(sock, select.POLLIN)

    def remove(self, sock):
        self.poll.unregister(sock)
        del self.sockets[sock.fileno()]
        sock.close()

    def serve(self):
        while not self.stop:
            ready = self.poll.poll(50)
            if not ready:
                self.idle.set()
            for fd, _ in ready:
                if fd in self.sockets:
                    sock, netns, handler = self.sockets[fd]
                    try:
                        handler(sock, netns)
                    except (OSError, ValueError):  # rules may lead anything here
                        pass
        for sock, _, _ in list(self.sockets.values()):
            sock.close()

    def accept(self, sock, netns):
        connection, peer = sock.accept()
        connection.setblocking(False)
        ttl = None
        if sock.proto != socket.IPPROTO_SCTP:
            syn = connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 256)
            ttl = syn[8] if sock.family == socket.AF_INET else syn[7]
        got = bytearray()

        def data(conn, _):
            try:
                chunk = conn.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self.remove(conn)
                return
            got.extend(chunk)
            if len(got) < 16:
                return
            self.seen.setdefault(int(got[:8]), {"at": netns, "src": peer[0], "ttl": ttl})
            if len(got) == int(got[8:16]):
                conn.send(segment(conn, int(got[:8])))

        self.add(connection, netns, data)

    def datagram(self, sock, netns):
        payload, controls, _, peer = sock.recvmsg(65536, 512)
        ttl, answer = None, []
        for level, kind, value in controls:
            if (level, kind) == (socket.IPPROTO_IP, IP_TTL):
                ttl = struct.unpack("i", value[:4])[0]
            elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_HOPLIMIT):
                ttl = struct.unpack("i", value[:4])[0]
            elif (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                _, spec, _ = struct.unpack("I4s4s", value)
                answer = [(level, kind, struct.pack("I4s4s", 0, spec, bytes(4)))]
            elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                answer = [(level, kind, value[:16] + struct.pack("I", 0))]
        if payload[:8].isdigit():  # a rule may also lead packets of tunnels here
            self.seen[int(payload[:8])] = {"at": netns, "src": peer[0], "ttl": ttl}
        if peer[1] != UDP_PORT:  # two servers would answer each other for ever
            # Without the number of the flow: where a rule leads the answer to a server, that is not who saw the request.
            sock.sendmsg([b"-" + payload[1:]], answer, 0, peer)

    def settle(self):
        """Returns once all that is there has been answered, however late a loaded machine comes to it."""
        self.idle.clear()
        self.idle.wait(10)

    def close(self):
        self.stop = True
        self.thread.join()


class ErrorLimit:
    """
    A router that knows no way tells each sender so five times at once, then once a second (net/ipv4/route.c `ip_error`).
    While this lives it says so each time. The limit is the machine's, no namespace has one of its own: the last of
    several that live at once puts it back, known by a lock that goes with its process.
    """

    PATH = "/proc/sys/net/ipv4/route/error_"
    SAVED_UP = 5  # errors, by default; the burst is nobody's to change

    def __enter__(self):
        self.file = open(self.PATH + "cost", "r+")
        fcntl.flock(self.file, fcntl.LOCK_SH)
        self.write(0)

    def __exit__(self, *_):
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # others go on
        with open(self.PATH + "burst") as burst:
            self.write(int(burst.read()) // self.SAVED_UP)

    def write(self, jiffies):
        self.file.seek(0)  # elsewhere nothing is taken (kernel.sysctl_writes_strict)
        self.file.write(str(jiffies))
        self.file.flush()


def run_flow(flow, servers, results):
    try:
        enter(flow["netns"])
        results[flow["id"]] = KINDS[flow["protocol"]](flow, servers)
    except OSError as error:
        results[flow["id"]] = {"errno": name_of(error.errno)}


def v6(flow):
    return ":" in flow["dst"]


def client(flow, kind, protocol=0):
    if kind == socket.SOCK_DGRAM and not protocol:
        protocol = socket.IPPROTO_UDP
    sock = socket.socket(socket.AF_INET6 if v6(flow) else socket.AF_INET, kind, protocol)
    if v6(flow):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    level = socket.IPPROTO_IPV6 if v6(flow) else socket.IPPROTO_IP
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(level, IPV6_RECVERR if v6(flow) else IP_RECVERR, 1)
    if flow.get("spoofed"):
        sock.setsockopt(level, IPV6_TRANSPARENT if v6(flow) else IP_TRANSPARENT, 1)
    if flow.get("ttl"):
        sock.setsockopt(level, IPV6_UNICAST_HOPS if v6(flow) else IP_TTL, flow["ttl"])
    return sock


def segment(sock, number):
    """One segment, as full as it can be: number of the flow, length, filling."""
    if sock.proto == socket.IPPROTO_SCTP:
        length = sock.getsockopt(socket.IPPROTO_SCTP, SCTP_MAXSEG)
    else:
        length = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    return b"%08d%08d" % (number, length) + bytes(length - 16)


def stream_source(flow, protocol):
    """SCTP would announce all addresses of a socket that has none of its own."""
    if protocol == socket.IPPROTO_SCTP:
        with client(flow, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect((flow["dst"], flow["dstPort"]))
                return asking.getsockname()[0]
            except OSError:  # no route
                pass
    return "::" if v6(flow) else "0.0.0.0"


def stream(flow, protocol):
    sock = client(flow, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((flow.get("src") or stream_source(flow, protocol), flow["port"]))
    # A call that waits in the kernel: SO_ERROR after one that does not tells of errors that end nothing.
    limit = struct.pack("ll", flow["waitMs"] // 1000, flow["waitMs"] % 1000 * 1000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    try:
        sock.connect((flow["dst"], flow["dstPort"]))
    except BlockingIOError:  # EINPROGRESS
        return {}
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        sock.sendall(segment(sock, flow["id"]))
        got = b""
        while len(got) < 16 or len(got) < int(got[8:16]):
            chunk = sock.recv(65536)
            if not chunk:
                return {"stalled": True}
            got += chunk
    except BlockingIOError:
        return {"stalled": True}
    finally:
        sock.close()
    return {"connected": True}


def error_of(sock):
    """The oldest error that a packet told of, or that the kernel found itself."""
    try:
        _, controls, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return {"errno": name_of(number)} if number else None
    for level, kind, value in controls:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            number, origin, icmp_type, code = struct.unpack("IBBB", value[:7])
            family = struct.unpack("H", value[16:18])[0] if len(value) >= 18 else 0
            found = {"errno": name_of(number)}
            if origin in (2, 3):
                found["icmp"] = f"{icmp_type}/{code}"
                if family == socket.AF_INET:
                    found["from"] = socket.inet_ntop(family, value[20:24])
                elif family == socket.AF_INET6:
                    found["from"] = socket.inet_ntop(family, value[24:40])
            return found
    return None


def await_answer(sock, send, flow, servers):
    """Sends, and once more where the path turned out to be narrower."""
    sock.setblocking(False)
    try:
        send()
    except OSError as error:
        # UDP tells of a device without room only those who asked for errors.
        if error.errno != errno.ENOBUFS or sock.proto != socket.IPPROTO_UDP:
            raise
    until, again, late = time.monotonic() + flow["waitMs"] / 1000, True, False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while not late:
        left = until - time.monotonic()
        if late := left <= 0:
            servers.settle()
        for _, events in poll.poll(max(left, 0) * 1000):
            if events & select.POLLERR:
                error = error_of(sock)
                if error is None:
                    continue
                if error["errno"] == "EMSGSIZE" and again:
                    again = late = False
                    send()
                    continue
                return error
            if events & select.POLLIN:
                try:
                    _, peer = sock.recvfrom(65536)
                except OSError as error:
                    return {"errno": name_of(error.errno)}
                return {"connected": True, "from": peer[0]}
    return {}


def udp(flow, servers):
    sock = client(flow, socket.SOCK_DGRAM)
    sock.bind((flow.get("src") or ("::" if v6(flow) else "0.0.0.0"), flow["port"]))
    sock.connect((flow["dst"], flow["dstPort"]))
    result = await_answer(sock, lambda: sock.send(b"%08d" % flow["id"] + bytes(flow["length"] - 8)), flow, servers)
    result.pop("from", None) if "connected" in result else None
    return result


def icmp(flow, servers):
    protocol, kind = (58, 128) if v6(flow) else (1, 8)
    sock = client(flow, socket.SOCK_DGRAM, protocol)
    if flow.get("src"):
        sock.bind((flow["src"], 0))
    # As ping fills it. With zeros the sum over a first fragment would be that of the whole message, and REJECT,
    # which leaves alone what has a wrong sum (nf_ip_checksum), would answer fragments of ICMP as of nothing else.
    filling = bytes(i % 256 for i in range(flow["length"]))
    request = struct.pack("!BBHHH", kind, 0, 0, 0, 1) + filling
    return await_answer(sock, lambda: sock.sendto(request, (flow["dst"], 0)), flow, servers)


KINDS = {
    "tcp": lambda flow, _: stream(flow, socket.IPPROTO_TCP),
    "sctp": lambda flow, _: stream(flow, socket.IPPROTO_SCTP),
    "udp": udp,
    "icmp": icmp,
}


LISTINGS = {"iptables": ["iptables-save", "-c"], "ip6tables": ["ip6tables-save", "-c"], "nft": ["nft", "-j", "list", "ruleset"]}


def send_frames(request, results):
    """Sends frames by hand, one after the other, and lists what rules have counted."""
    senders = {}
    for frame in request["frames"]:
        place = (frame["netns"], frame["dev"])
        if place not in senders:
            enter(frame["netns"])
            senders[place] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            senders[place].bind((frame["dev"], 0))
        senders[place].send(bytes.fromhex(frame["hex"]))
        time.sleep(request["gapMs"] / 1000)
    time.sleep(request["settleMs"] / 1000)
    for netns in request["servers"]:
        enter(netns)
        results[netns] = {name: subprocess.run(command, capture_output=True, text=True).stdout for name, command in LISTINGS.items()}


def tell(request, results, out):
    with out:
        try:
            print(json.dumps({"id": request["id"], "results": results}), flush=True)
        except BrokenPipeError:  # who asked was killed
            pass


def answer_frames(request, out):
    results, servers = {}, Servers(request["servers"])
    try:
        sender = threading.Thread(target=send_frames, args=(request, results))
        sender.start()
        sender.join()
    finally:
        servers.close()
    tell(request, results, out)


def answer(request, out):
    if "frames" in request:
        answer_frames(request, out)
        return
    results, servers = {}, None
    try:
        servers = Servers(request["servers"])
        threads = [threading.Thread(target=run_flow, args=(f, servers, results)) for f in request["flows"]]
        # In order, as in the model: what one flow teaches (path MTUs, connections) the next one may meet. Those that hear
        # late have asked for a neighbour, who must not be found on account of others meanwhile.
        late = []
        for thread, flow in zip(threads, request["flows"]):
            if flow["ends"] != "late":
                while late:
                    late.pop().join()
            thread.start()
            thread.join(None if request["inTurn"] or flow["ends"] == "soon" else 0.02)
            if flow["ends"] == "late":
                late.append(thread)
        for thread in threads:
            thread.join()
        servers.settle()
    finally:
        if servers:
            servers.close()
    for number, result in results.items():
        if number in servers.seen:
            result["seen"] = servers.seen[number]
    tell(request, results, out)


lock, answering = threading.Lock(), []
with ErrorLimit():
    for line in sys.stdin:
        answering.append(threading.Thread(target=answer, args=(json.loads(line), lock)))
        answering[-1].start()
    for thread in answering:
        thread.join()
