#!/bin/sh
# As root: records what conntrack-tools 1.4.7 prints of connections made by hand, for conntrack.test.ts.
# Timeouts run, so that they are replaced by T.
set -e
N=insp-ct-$$
ip netns add $N
trap 'ip netns del $N' EXIT
inside() { ip netns exec $N "$@"; }
inside conntrack -I -p tcp -s 10.244.1.2 -d 10.96.0.10 --sport 41044 --dport 80 -r 10.244.2.2 -q 10.244.1.2 --reply-port-src 8080 --reply-port-dst 41044 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 1000 -m 5
inside conntrack -I -p tcp -s 10.244.1.2 -d 10.244.2.3 --sport 41045 --dport 80 --state SYN_SENT -t 1000
inside conntrack -I -p udp -s 10.244.1.2 -d 10.96.0.10 --sport 5353 --dport 53 -r 10.244.2.9 -q 10.244.1.2 --reply-port-src 53 --reply-port-dst 5353 -t 1000
inside conntrack -I -p icmp -s 10.244.1.2 -d 10.244.2.2 --icmp-type 8 --icmp-code 0 --icmp-id 77 -u SEEN_REPLY -t 1000
inside conntrack -I -p sctp -s 10.244.1.2 -d 10.244.2.2 --sport 1000 --dport 2000 --state COOKIE_WAIT --orig-vtag 1 --reply-vtag 2 -t 1000
inside conntrack -I -p udp -s 10.244.1.2 -d 10.244.2.2 --sport 1 --dport 2 -w 7 -t 1000
inside conntrack -I -p 99 -s 10.244.1.2 -d 10.244.2.2 -t 1000
inside conntrack -I -p udp -s fd00::1 -d fd00::2 --sport 1 --dport 2 -t 1000
inside conntrack -I -p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 9 -t 1000
inside conntrack -L -o extended 2>/dev/null | sed -E 's/^(ipv[46] +[0-9]+ [a-z0-9]+ +[0-9]+) [0-9]+/\1 T/' | LC_ALL=C sort
