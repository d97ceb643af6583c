#!/usr/bin/env bash
# Records what the collect script says of a machine with one of many things: `record.sh FOLDER`, as root. The machine
# and its pods are namespaces, removed afterwards. Recorded with iproute2 6.1.0, iptables 1.8.9, nft 1.0.6, ipset 7.17.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=record$$
trap 'for n in wire node node.pod node.db; do ip netns del "$name.$n" 2>/dev/null; done' EXIT
for n in wire node node.pod node.db; do
  ip netns add "$name.$n"
  ip -n "$name.$n" link set lo up
done
in_ns() { ip netns exec "$name.$1" "${@:2}"; }
add() { ip -n "$name.node" "$@"; }

# The other end is not collected: so it looks where the machine is a container.
add link add eth0 index 2 address 02:00:00:00:00:01 type veth peer name port netns "$name.wire"
ip -n "$name.wire" link set port up
add link set eth0 up
add address add 192.168.7.11/24 broadcast + dev eth0
add address add 192.168.7.21/24 dev eth0 label eth0:x noprefixroute
add address add 192.168.9.1 peer 192.168.9.2 dev eth0
add address add fd00:7::11/64 dev eth0 nodad
add link add cni0 index 9 address 02:00:00:00:01:01 type bridge ageing_time 1000
add link set cni0 up
n=0
for pod in pod db; do
  n=$((n + 1))
  add link add "veth$pod" index $((20 + n)) address "02:00:00:00:02:0$n" mtu 1450 type veth \
    peer name eth0 netns "$name.node.$pod" address "02:00:00:00:03:0$n" mtu 1450
  add link set "veth$pod" master cni0 up
  ip -n "$name.node.$pod" link set eth0 up
  ip -n "$name.node.$pod" address add "10.9.1.$((n + 1))/24" dev eth0
  ip -n "$name.node.$pod" route add default via 10.9.1.1 2>/dev/null || true
done
add address add 10.9.1.1/24 dev cni0
for pod in pod db; do ip -n "$name.node.$pod" route replace default via 10.9.1.1; done
in_ns node bridge link set dev vethpod hairpin on isolated on
in_ns node bridge fdb add 02:00:00:00:0f:01 dev vethpod master static
add link add vx index 30 address 02:00:00:00:04:01 type vxlan id 7 dstport 8472 local 192.168.7.11 dev eth0 nolearning
add link set vx up
in_ns node bridge fdb add 02:00:00:00:04:02 dev vx dst 192.168.7.12 self permanent
in_ns node bridge fdb append 00:00:00:00:00:00 dev vx dst 192.168.7.12 self permanent
in_ns node bridge fdb add 02:00:00:00:04:03 dev vx dst 192.168.7.13 port 4789 self permanent
add neighbour add 10.9.2.0 lladdr 02:00:00:00:04:02 dev vx nud permanent
add neighbour add 192.168.7.1 lladdr 02:00:00:00:00:fe dev eth0 nud stale
add neighbour add 192.168.7.99 dev eth0 nud failed
add neighbour add proxy 10.9.1.99 dev cni0
add route add 10.9.2.0/24 via 10.9.2.0 dev vx onlink
add route add default via 192.168.7.1 proto dhcp metric 100
add route add 10.9.3.0/24 table 100 mtu 1300 advmss 1200 nexthop via 192.168.7.12 weight 3 nexthop via 192.168.7.13
add route add 10.9.4.0/24 mtu lock 1400 initcwnd 10 via 192.168.7.12 proto 77
add route add blackhole 10.9.5.0/24 proto bird
add -6 route add fd00:8::/64 nexthop via fd00:7::12 nexthop via fd00:7::13
add -6 route add fd00:9::/64 from fd00:7::/64 via fd00:7::12
add -6 route add prohibit fd00:a::/64
add rule add priority 50 fwmark 0x1/0xff lookup 100
add rule add priority 51 from 10.77.0.0/16 iif cni0 ipproto tcp dport 80-90 unreachable
add rule add priority 52 lookup main suppress_prefixlength 0
add rule add priority 53 uidrange 1000-1000 lookup 100
add rule add priority 54 to 10.9.3.7 goto 32766
add rule add priority 55 not to 0.0.0.0/1 lookup 100
add link add mv index 40 address 02:00:00:00:05:01 link eth0 type macvlan mode bridge
in_ns node ip tuntap add dev tun0 mode tun
in_ns node ip tuntap add dev tap0 mode tap
add link add ifb0 type ifb
add link set ifb0 up
tc -n "$name.node" qdisc add dev vethpod root handle 1: tbf rate 8mbit burst 15000 limit 30000
tc -n "$name.node" qdisc add dev vethdb ingress
tc -n "$name.node" filter add dev vethdb parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb0
in_ns node sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.cni0.proxy_arp=1
in_ns node ipset restore <<'SETS'
create pods hash:net family inet
add pods 10.9.1.0/24
SETS
in_ns node iptables-restore -c <<'RULES'
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:420]
:OUTPUT ACCEPT [0:0]
:POLICY - [0:0]
[3:180] -A FORWARD -m set --match-set pods src -m comment --comment "from pods" -j POLICY
[2:120] -A POLICY -m time --timestart 08:00:00 --timestop 18:00:00 -j DROP
[1:60] -A POLICY -j ACCEPT
COMMIT
RULES
in_ns node nft -f - <<'RULES'
table inet t {
  set ports { type inet_service; elements = { 80, 443 } }
  chain c {
    type filter hook forward priority 10; policy accept;
    tcp dport @ports counter packets 5 bytes 300 accept
  }
}
RULES
in_ns node.db python3 -c 'if True:
  import socket, time
  for kind, address, port in [(socket.SOCK_STREAM, "10.9.1.3", 5432), (socket.SOCK_DGRAM, "0.0.0.0", 53)]:
    s = socket.socket(socket.AF_INET, kind); s.bind((address, port)); kind == socket.SOCK_STREAM and s.listen()
    globals()[f"s{port}"] = s
  time.sleep(30)' 2>/dev/null &
server=$!
sleep 2
ROOT_NETNS=$name.node NETNS="$name.node.*" bash "$here/../collect.sh" local "$1" node1
kill "$server"
# Folders without the prefix, and of the sysctls those that the test looks at.
for pod in pod db; do mv "$1/node1/netns/$name.node.$pod" "$1/node1/netns/$pod"; done
sed -i -E "s/ $name\.node\.(pod|db) / \1 /" "$1/node1/namespaces.txt"
find "$1" -name sysctls.txt -exec sed -i -E '/\.(ip_forward|rp_filter|proxy_arp|accept_dad|disable_ipv6|bc_forwarding|bridge-nf-call-iptables) =/!d' {} +
