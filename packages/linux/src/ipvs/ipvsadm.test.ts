import { IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Balancer } from "../../test/balancer.ts";
import { Lab } from "../../test/lab.ts";
import type { Ipvs } from "./ipvs.ts";

// Texts are those of ipvsadm 1.31 on Linux 6.1.192.

function ipvs(text = ""): Ipvs {
  const { ipvs } = new Lab().host("lb", "10.0.0.1/24");
  ipvs.restore(text);
  return ipvs;
}

const RESTORED = `
-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.0.1.2:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.0.2.2:8080 -m -w 2
# a comment
-A -u 10.96.0.10:53 -s wlc -p 300
-a -u 10.96.0.10:53 -r 10.0.1.2:5353 -m
-A -t 10.96.0.10:81 -s sh -b sh-port,sh-fallback
-A -t 10.96.0.10:82 -s mh -b flag-1
-A -t 10.96.0.10:83 -s mh -b mh-port,mh-fallback -p 60 -M 255.255.255.0
-A -f 7 -s lc
-a -f 7 -r 10.0.1.2:0 -g
-A -f 9 -6 -s lc
-A -t [fd00:96::a]:80 -s sed -p 10800 -M 64
-a -t [fd00:96::a]:80 -r [fd00:2::2]:8080 -m -w 1 -x 100 -y 50
-A --sctp-service 10.96.0.10:3868 -s nq
-A -u 10.96.0.10:54 -s dh -o
`;
const SAVED = `-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.0.1.2:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.0.2.2:8080 -m -w 2
-A -t 10.96.0.10:81 -s sh -b sh-fallback,sh-port
-A -t 10.96.0.10:82 -s mh -b mh-fallback
-A -t 10.96.0.10:83 -s mh -p 60 -M 255.255.255.0 -b mh-fallback,mh-port
-A -u 10.96.0.10:53 -s wlc -p 300
-a -u 10.96.0.10:53 -r 10.0.1.2:5353 -m -w 1
-A -u 10.96.0.10:54 -s dh -o
-A --sctp-service 10.96.0.10:3868 -s nq
-A -t [fd00:96::a]:80 -s sed -p 10800 -M 64
-a -t [fd00:96::a]:80 -r [fd00:2::2]:8080 -m -w 1
-A -f 7 -s lc
-a -f 7 -r 10.0.1.2:0 -g -w 1
-A -f 9 -6 -s lc
`;
const LISTED = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.0.10:80 rr
  -> 10.0.1.2:8080                Masq    1      0          0         
  -> 10.0.2.2:8080                Masq    2      0          0         
TCP  10.96.0.10:81 sh (sh-fallback,sh-port)
TCP  10.96.0.10:82 mh (mh-fallback)
TCP  10.96.0.10:83 mh (mh-fallback,mh-port) persistent 60 mask 255.255.255.0
UDP  10.96.0.10:53 wlc persistent 300
  -> 10.0.1.2:5353                Masq    1      0          0         
UDP  10.96.0.10:54 dh ops
SCTP 10.96.0.10:3868 nq
TCP  [fd00:96::a]:80 sed persistent 10800 mask 64
  -> [fd00:2::2]:8080             Masq    1      0          0         
FWM  7 lc
  -> 10.0.1.2:0                   Route   1      0          0         
FWM  9 IPv6 lc
`;

describe("saved and listed", () => {
  test("what was restored comes back in ipvsadm's order", () => {
    expect(ipvs(RESTORED).save()).toBe(SAVED);
  });

  test("what was saved can be restored", () => {
    expect(ipvs(SAVED).save()).toBe(SAVED);
  });

  test("-Ln", () => {
    expect(ipvs(RESTORED).list()).toBe(LISTED);
  });

  test("flags of all kinds, and those without a name", () => {
    const text = `-A -t 10.0.0.1:80 -s rr -b flag-1,flag-2,flag-3
-A -t 10.0.0.1:81 -s mh -b 
-A -u 10.0.0.1:5 -s sh -p 5 -o -b sh-port
-A -f 3 -s rr -p 20 -M 255.255.0.0
-a -f 3 -r 10.0.0.3:0 -m -w 1
-A -f 4 -6 -s rr -p 20
-a -f 4 -6 -r [fd00::5]:8 -m -w 1
`;
    const restored = ipvs(text.replace("-s mh -b ", "-s mh -b flag-3"));
    expect(restored.save()).toBe(text);
    expect(restored.list()).toContain("TCP  10.0.0.1:81 mh ()\n");
    expect(restored.list()).toContain("UDP  10.0.0.1:5 sh (sh-port) persistent 5 ops\n");
  });

  test("--stats, and -Z, which makes them 0", () => {
    const b = new Balancer(2).serve(8080, IPPROTO_UDP);
    b.lb.ipvs.restore(`-A -u 10.96.0.10:53 -s rr
-a -u 10.96.0.10:53 -r 10.1.1.2:8080 -m
-a -u 10.96.0.10:53 -r 10.1.2.2:8080 -m
`);
    // 8 bytes of UDP header and 20 of IP with each.
    b.ask("10.96.0.10", 53, { protocol: IPPROTO_UDP, length: 1 });
    b.ask("10.96.0.10", 53, { protocol: IPPROTO_UDP, length: 100 });
    b.ask("10.96.0.10", 53, { protocol: IPPROTO_UDP, length: 1 });
    const head = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
`;
    expect(
      b.lb.ipvs.list({ stats: true }),
    ).toBe(`${head}UDP  10.96.0.10:53                       3        3        3      186      186
  -> 10.1.1.2:8080                       1        1        1      128      128
  -> 10.1.2.2:8080                       2        2        2       58       58
`);
    b.lb.ipvs.command("-Z");
    expect(
      b.lb.ipvs.list({ stats: true }),
    ).toBe(`${head}UDP  10.96.0.10:53                       0        0        0        0        0
  -> 10.1.1.2:8080                       0        0        0        0        0
  -> 10.1.2.2:8080                       0        0        0        0        0
`);
  });
});

describe("commands", () => {
  test.each([
    ["-E -t 10.96.0.10:80 -s wrr -p", "-A -t 10.96.0.10:80 -s wrr -p 360"],
    ["-e -t 10.96.0.10:80 -r 10.0.1.2:8080 -m -w 0", "-r 10.0.1.2:8080 -m -w 0"],
    ["-a -t 10.96.0.10:80 -r 10.0.1.3 -m", "-r 10.0.1.3:80 -m -w 1"],
    ["-a -t 10.96.0.10:80 -r 10.0.1.4:99", "-r 10.0.1.4:80 -g -w 1"],
    ["-A -t 10.96.0.10:http-alt", "-A -t 10.96.0.10:8080 -s wlc"],
    [
      "--add-service --tcp-service 10.96.0.9:80 --scheduler rr --persistent 9",
      "-A -t 10.96.0.9:80 -s rr -p 9",
    ],
  ])("%s", (command, line) => {
    const machine = ipvs(RESTORED);
    machine.command(command);
    expect(machine.save()).toContain(`${line}\n`);
  });

  test("-d and -D take away", () => {
    const machine = ipvs(RESTORED);
    machine.command("-d -t 10.96.0.10:80 -r 10.0.1.2:8080");
    machine.command("-D -u 10.96.0.10:53");
    machine.command("-D -f 9 -6");
    const gone = /10\.0\.1\.2:8080|-u 10\.96\.0\.10:53|-f 9/;
    expect(
      machine
        .save()
        .split("\n")
        .filter((line) => gone.test(line)),
    ).toEqual([]);
  });

  test("-C takes all away, and connections stay", () => {
    const b = new Balancer(1).serve(8080, IPPROTO_UDP);
    b.lb.ipvs.restore("-A -u 10.96.0.10:53 -s rr\n-a -u 10.96.0.10:53 -r 10.1.1.2:8080 -m");
    b.ask("10.96.0.10", 53, { protocol: IPPROTO_UDP });
    b.lb.ipvs.command("-C");
    expect([b.lb.ipvs.save(), b.lb.ipvs.connections.size]).toEqual(["", 1]);
  });

  test("--set changes how long connections live; 0 leaves it", () => {
    const machine = ipvs();
    machine.command("--set 800 0 10");
    expect(machine.timeouts).toEqual({ tcp: 800, tcpFin: 120, udp: 10 });
  });

  test.each([
    ["-A -t 10.96.0.10:80 -s rr", "Service already exists"],
    ["-E -t 10.96.0.11:80 -s rr", "No such service"],
    ["-D -t 10.96.0.11:80", "No such service"],
    ["-a -t 10.96.0.11:80 -r 10.0.1.2:80 -m", "Service not defined"],
    ["-a -t 10.96.0.10:80 -r 10.0.1.2:8080 -m", "Destination already exists"],
    ["-e -t 10.96.0.10:80 -r 10.0.1.2:8089 -m", "No such destination"],
    ["-d -t 10.96.0.10:80 -r 10.0.1.2:8089", "No such destination"],
    ["-A -t 10.96.0.12:80 -s foo", "Scheduler or persistence engine not found"],
    [
      "-a -t 10.96.0.10:80 -r 224.0.0.1:8080 -m",
      "Invalid operation.  Possibly wrong module version, address not unicast, ...",
    ],
    ["-a -t 10.96.0.10:80 -r 10.0.1.2:8080 -m -w -1", "illegal weight specified"],
    ["-A -t 10.96.0.10 -s rr", "Zero port specified for non-persistent service"],
    ["-A -t 10.96.0.10:86 -s rr -b foo", "invalid scheduler flag `foo'"],
    ["-A -s rr", "You need to supply the 'service-address' option for the 'add-service' command"],
    [
      "-a -t 10.96.0.10:80 -m",
      "You need to supply the 'real-server' option for the 'add-server' command",
    ],
    [
      "-a -t 10.96.0.10:80 -r fd00::4 -m",
      "Different address family is allowed only for tunneling servers",
    ],
    ["-a -t 10.96.0.10:80 -r 10.0.0.9:x -m", "illegal real server address[:port] specified"],
    ["-A -t 10.0.0.x:82", "illegal virtual server address[:port] specified"],
    ["-A -t 10.0.0.1:99999", "illegal virtual server address[:port] specified"],
    ["-a -t 10.96.0.10:80 -r 10.0.0.9:5 -m -x 5 -y 9", "Numerical result out of range"],
    ["-A -t 10.0.0.1:84 -s rr -p 0", "invalid timeout value `0' specified"],
    ["-A -t [fd00::1]:84 -s rr -p 5 -M 129", "illegal ipv6 netmask specified"],
    ["foo", "Try `ipvsadm -h' or 'ipvsadm --help' for more information."],
    ["-a -t 10.96.0.10:80 -r 10.0.1.3:80 -i", "tunnelling to real servers (-i) is not modelled"],
  ])("%s: %s", (command, message) => {
    const machine = ipvs(RESTORED);
    expect(() => machine.command(command)).toThrow(expect.objectContaining({ message }));
    expect(machine.save()).toBe(SAVED);
  });

  test("restoring ends at the first line that fails; those before are done", () => {
    const machine = ipvs();
    const text = "# comment\n\n-A -t 10.0.0.1:801 -s rr\nfoo\n-A -t 10.0.0.1:802\n";
    expect(() => machine.restore(text)).toThrow(expect.objectContaining({ line: 4 }));
    expect(machine.save()).toBe("-A -t 10.0.0.1:801 -s rr\n");
  });
});

test("-Lnc: connections with their states, and templates", () => {
  const b = new Balancer(1).serve(8080).serve(8080, IPPROTO_UDP);
  b.lb.ipvs.restore(`-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.1.1.2:8080 -m
-A -u 10.96.0.10:53 -s rr -p 300
-a -u 10.96.0.10:53 -r 10.1.1.2:8080 -m
-A -t [fd00:96::a]:80 -s rr -p 10800 -M 64
-a -t [fd00:96::a]:80 -r [fd00:1:1::2]:8080 -m
`);
  b.hold("10.96.0.10", 80, 1, [54020]);
  b.hold("fd00:96::a", 80, 1, [53824]);
  b.ask("10.96.0.10", 53, { protocol: IPPROTO_UDP, srcPort: 5000 });
  b.lab.clock.advance(1500);
  expect(b.lb.ipvs.listConnections()).toBe(`IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:58  ESTABLISHED 10.0.0.2:54020     10.96.0.10:80      10.1.1.2:8080
TCP 179:58 ASSURED     [fd00::]:0         [fd00:96::a]:80    [fd00:1:1::2]:8080
TCP 14:58  ESTABLISHED [fd00::2]:53824    [fd00:96::a]:80    [fd00:1:1::2]:8080
UDP 04:58  ASSURED     10.0.0.2:0         10.96.0.10:53      10.1.1.2:8080
UDP 04:58  UDP         10.0.0.2:5000      10.96.0.10:53      10.1.1.2:8080
`);
  expect(
    b.lb.ipvs.findService({ protocol: IPPROTO_TCP, address: parseIp("10.96.0.10"), port: 80 })
      ?.destinations[0]?.activeConns,
  ).toBe(1);
});
