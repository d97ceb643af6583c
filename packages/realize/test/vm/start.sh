#!/bin/bash
# Runs in the virtual machine: what its kernel has as modules must be there before the first sysctl is written.
set -eu
modprobe -a veth bridge vxlan ipip sit geneve wireguard ifb sctp ip_vs br_netfilter nf_conntrack nf_nat xt_nfacct \
  sch_ingress cls_matchall act_mirred sch_tbf
sysctl -qw net.core.fb_tunnels_only_for_init_net=1
echo ready > "$1/ready"
exec /usr/bin/python3 "$(dirname "$0")/driver.py" "$1" "$(dirname "$0")/../fuzz/probe.py"
