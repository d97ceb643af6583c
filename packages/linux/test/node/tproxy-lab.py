"""Programs of a test of TPROXY: `server` answers, `proxy` stands between, `client` asks. Each prints what it sees."""
import json, select, socket, sys, threading

IP_TRANSPARENT, IPV6_TRANSPARENT, IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR, SO_MARK = 19, 75, 20, 74, 36


def made(kind, family, transparent, mark):
    s = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if mark:
        s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    if transparent:
        level, option = (41, IPV6_TRANSPARENT) if family == 6 else (0, IP_TRANSPARENT)
        s.setsockopt(level, option, 1)
    return s


def shown(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def say(*words):
    print(*words, flush=True)


def server(o):
    s = made(socket.SOCK_STREAM, o["family"], False, 0)
    s.bind((o["address"], o["port"]))
    s.listen()
    say("ready")
    while True:
        c, peer = s.accept()
        say("server", "sees", shown(peer))
        c.sendall(b"hello")
        c.close()


def proxy(o):
    s = made(socket.SOCK_STREAM, o["family"], o["transparent"], o["listenMark"])
    s.bind((o["on"], o["onPort"]))
    s.listen()
    say("ready")
    while True:
        c, peer = s.accept()
        own = c.getsockname()
        mark = c.getsockopt(socket.SOL_SOCKET, SO_MARK)
        say("proxy", "is", shown(own), "to", shown(peer), "mark", hex(mark))
        up = made(socket.SOCK_STREAM, o["family"], True, o["upstreamMark"])
        up.settimeout(0.6)
        try:
            up.bind(peer[:2])
            up.connect(own[:2])
            c.sendall(up.recv(64))
            say("proxy", "passed on")
        except OSError as e:
            say("proxy", "failed:", type(e).__name__)
        up.close()
        c.close()


def client(o):
    s = made(socket.SOCK_STREAM, o["family"], False, 0)
    s.settimeout(1.5)
    s.bind((o["from"], o["fromPort"]))
    try:
        s.connect((o["address"], o["port"]))
        say("client", "connected")
        say("client", "heard" if s.recv(64) else "heard nothing")
    except OSError as e:
        say("client", "failed:", type(e).__name__)


globals()[sys.argv[1]](json.loads(sys.argv[2]))
