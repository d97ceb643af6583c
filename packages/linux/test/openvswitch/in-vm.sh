#!/bin/bash
# Two machines m1 and m2 with a datapath each, ports v1 and v2, namespaces p1 and p2 behind them, a tunnel at port 3: in-vm.sh CASES
# Lines of CASES: "case NAME" (flows go), "flow M MATCH ACTIONS", "mtu M DEV MTU", "ping FROM TO COUNT", "state" (what ovs-dpctl says of each).
set -e
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
modprobe openvswitch
modprobe vport_vxlan
netns() { ip netns add "$1"; ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; ip -n "$1" link set lo up; }
netns m1; netns m2
ip link add u0 netns m1 type veth peer name u0 netns m2
for m in 1 2; do
  ip -n m$m link set u0 up; ip -n m$m addr add 10.0.0.$m/24 dev u0
  ip netns exec m$m ovs-dpctl add-dp dp0
  for i in 1 2; do
    n=$((2 * m - 2 + i)); netns p$n
    ip link add v$i netns m$m type veth peer name eth0 netns p$n
    ip -n m$m link set v$i up; ip -n p$n link set eth0 address 02:00:00:00:00:0$n up; ip -n p$n addr add 10.1.0.$n/24 dev eth0
    for other in 1 2 3 4; do ip -n p$n neigh replace 10.1.0.$other lladdr 02:00:00:00:00:0$other dev eth0 nud permanent; done
    ip netns exec m$m ovs-dpctl add-if dp0 v$i
  done
  ip netns exec m$m ovs-dpctl add-if dp0 vxlan_sys_6784,type=vxlan,remote_ip=flow,dst_port=6784
  ip netns exec m$m ovs-dpctl cache-set-size dp0 masks-cache 0 >/dev/null
done
set +e
state() {
  for m in 1 2; do
    echo "=== m$m"
    ip netns exec m$m ovs-dpctl dump-flows dp0
    ip netns exec m$m ovs-dpctl show dp0
  done
}
while read -r what a b c; do
  case $what in
    case) echo "### $a $b $c" | sed 's/ *$//'; for m in 1 2; do ip netns exec m$m ovs-dpctl del-flows dp0; done ;;
    flow) ip netns exec m$a ovs-dpctl add-flow dp0 "$b" "$c" || echo refused ;;
    mtu) ip -n m$a link set "$b" mtu "$c" ;;
    ping) ip netns exec p$a ping -q -c "$c" -i 0.2 -W 1 10.1.0.$b >/dev/null ;;
    state) state ;;
  esac
done <<<"$1" 2>/dev/null
