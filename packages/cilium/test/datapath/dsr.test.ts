import {
  attachTcx,
  BpfProgram,
  type NetNamespace,
  TC_ACT_OK,
  TC_ACT_UNSPEC,
  type TcContext,
} from "@cnilab/linux";
import {
  encodeIp,
  formatIp,
  type GeneveOption,
  IcmpMessage,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  type IpOption,
  IpPacket,
  Prefix,
  parseIp,
  type QuotedPacket,
  TCP_SYN,
  TcpSegment,
  type UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  dsrGeneveOption,
  dsrIpOption,
  readDsrGeneveOption,
  readDsrIpOption,
} from "../../src/datapath/lib/nodeport/dsr-option.ts";
import { connect, datagram, type LabNode, outcome } from "./datapath-lab.ts";
import {
  NODE_PORT,
  ServiceLab,
  type ServiceLabOptions,
  serviceSpec,
  VIRTUAL_IP,
} from "./service-lab.ts";

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const SERVICE = {
  4: { address: parseIp("10.96.0.1"), port: 80 },
  6: { address: parseIp("fd00::1"), port: 80 },
} as const;

// dsr_set_opt4 turns port and address around once more: on a little-endian machine they stand with the least byte first.
test("options as they are on the wire", () => {
  expect(dsrIpOption(SERVICE[4])).toMatchObject({ type: 154 });
  expect(hex(dsrIpOption(SERVICE[4]).data)).toBe("5000" + "0100600a");
  expect(dsrIpOption(SERVICE[6])).toMatchObject({ type: 27 });
  expect(hex(dsrIpOption(SERVICE[6]).data)).toBe(
    "fd000000000000000000000000000001" + "0050" + "0000",
  );
  const geneve = dsrGeneveOption(SERVICE[4]);
  expect([geneve.optionClass, geneve.type]).toEqual([0x14b, 0x81]);
  expect(hex(geneve.data)).toBe("0a600001" + "0050" + "0000");
  expect(hex(dsrGeneveOption(SERVICE[6]).data)).toBe(
    "fd000000000000000000000000000001" + "0050" + "0000",
  );
});

describe.each([4, 6] as const)("options of IPv%i", (family) => {
  test("are read as they were written", () => {
    const service = SERVICE[family];
    expect(readDsrIpOption(family, [dsrIpOption(service)])).toEqual(service);
    expect(readDsrGeneveOption(family, [dsrGeneveOption(service)])).toEqual(service);
  });

  test("of others are not taken for them", () => {
    const { data } = dsrIpOption(SERVICE[family]);
    expect(readDsrIpOption(family, [])).toBeUndefined();
    expect(readDsrIpOption(family, [{ type: 7, data }])).toBeUndefined();
    const { type } = dsrIpOption(SERVICE[family]);
    expect(readDsrIpOption(family, [{ type, data: data.subarray(1) }])).toBeUndefined();
    const geneve = dsrGeneveOption(SERVICE[family]);
    expect(readDsrGeneveOption(family, [])).toBeUndefined();
    expect(readDsrGeneveOption(family, [{ ...geneve, optionClass: 1 }])).toBeUndefined();
    expect(readDsrGeneveOption(family, [{ ...geneve, type: 1 }])).toBeUndefined();
  });
});

function world(options: ServiceLabOptions) {
  const services = new ServiceLab(options);
  const one = services.node();
  const two = services.node();
  const far = services.backend(two, 1002);
  const client = services.client(one);
  return { services, one, two, far, client };
}

/** What comes into a device. */
function watch(netns: NetNamespace, dev: string, see: (ctx: TcContext) => void): void {
  const run = (ctx: TcContext) => {
    if (ctx.isIp) see(ctx);
    return TC_ACT_UNSPEC;
  };
  const options = { type: "sched_cls" as const, name: "watch", run };
  attachTcx(netns.device(dev), "ingress", new BpfProgram(netns.kernel, options), { first: true });
}

function isSyn({ payload }: IpPacket): boolean {
  return payload instanceof TcpSegment && (payload.flags & TCP_SYN) !== 0;
}

describe.each([4, 6] as const)("DSR over IPv%i", (family) => {
  const nodePort = { spec: serviceSpec(family, { type: "NodePort" }) };
  const expected = (address: ReturnType<typeof parseIp>) => ({ address, port: NODE_PORT });

  test("opt: a SYN says which service, later packets of its connection nothing", () => {
    const { services, one, two, far, client } = world({ family, lb: { mode: "dsr" } });
    services.put("web", nodePort, [{ pod: far }]);
    const seen: { syn: boolean; options: readonly IpOption[] }[] = [];
    watch(two.netns, "eth0", ({ ip }) => {
      if (ip.src === services.clientAddress(0)) seen.push({ syn: isSyn(ip), options: ip.options });
    });
    expect(outcome(connect(client, one.address, NODE_PORT))).toBe("connected");
    expect(seen.length).toBeGreaterThan(2);
    for (const { syn, options } of seen) {
      expect(readDsrIpOption(family, options)).toEqual(syn ? expected(one.address) : undefined);
      expect(options.length).toBe(syn ? 1 : 0);
    }
    const [entry] = two.maps
      .ct(far.address, 6)
      .entries()
      .flatMap(([key, value]) => (value.dsrInternal && key.flags === 0 ? [value] : []));
    expect(entry?.srcSecId).toBe(2);
  });

  test("opt: each datagram says it", () => {
    const { services, one, two, far, client } = world({ family, lb: { mode: "dsr" } });
    services.put("web", nodePort, [{ pod: far }]);
    let said = 0;
    watch(two.netns, "eth0", ({ ip }) => {
      if (readDsrIpOption(family, ip.options)?.port === NODE_PORT) said++;
    });
    for (let i = 0; i < 3; i++) datagram(client, one.address, NODE_PORT, { srcPort: 4000 });
    expect(said).toBe(3);
  });

  test("geneve: by an option of the tunnel", () => {
    const options = { mode: "dsr", dsrDispatch: "geneve" } as const;
    const { services, one, two, far, client } = world({ family, lb: options, tunnel: "geneve" });
    services.put("web", nodePort, [{ pod: far }]);
    const seen: { syn: boolean; options: readonly GeneveOption[]; id: number | undefined }[] = [];
    watch(two.netns, "cilium_geneve", ({ ip, tunnelKey }) => {
      seen.push({ syn: isSyn(ip), options: tunnelKey?.options ?? [], id: tunnelKey?.tunnelId });
    });
    expect(outcome(connect(client, one.address, NODE_PORT))).toBe("connected");
    for (const { syn, options, id } of seen) {
      const said = readDsrGeneveOption(family, options);
      expect(said).toEqual(syn ? expected(one.address) : undefined);
      expect(id).toBe(2);
    }
    expect(seen.some(({ syn }) => syn)).toBe(true);
  });

  test("ipip: the packet as it came, in another one", () => {
    const options = { mode: "dsr", dsrDispatch: "ipip" } as const;
    const { services, one, two, far, client } = world({ family, lb: options });
    services.put("web", nodePort, [{ pod: far }]);
    const seen: string[] = [];
    watch(two.netns, "eth0", ({ ip }) => {
      if (!(ip.payload instanceof IpPacket)) return;
      const inner = ip.payload;
      const isInside = ip.protocol === (family === 4 ? IPPROTO_IPIP : IPPROTO_IPV6);
      seen.push(
        `${formatIp(ip.src)} > ${formatIp(ip.dst)} ${isInside}: ${formatIp(inner.src)} > ${formatIp(inner.dst)}`,
      );
      expect(encodeIp(ip).length).toBe(ip.length);
    });
    datagram(client, one.address, NODE_PORT);
    const [node, pod] = [one.address, far.address].map(formatIp);
    expect(seen).toEqual([
      `${node} > ${pod} true: ${formatIp(services.clientAddress(0))} > ${node}`,
    ]);
  });

  test("by annotation: each service as it says", () => {
    const { services, one, far, client } = world({ family, lb: { modeAnnotation: true } });
    const seen = (mode: string) => {
      const annotations = { "service.cilium.io/forwarding-mode": mode };
      services.put("web", { ...nodePort, metadata: { name: "web", annotations } }, [{ pod: far }]);
      const done = connect(client, one.address, NODE_PORT);
      expect(outcome(done)).toBe("connected");
      return done.report?.seenAddress;
    };
    expect(seen("dsr")).toBe(services.clientAddress(0));
    expect(seen("snat")).toBe(one.address);
  });
});

describe.each([4, 6] as const)("packets too long for DSR over IPv%i", (family) => {
  const DISPATCH = {
    opt: [{}, family === 4 ? 8 : 24],
    ipip: [{}, family === 4 ? 20 : 40],
    geneve: [{ tunnel: "geneve" }, family === 4 ? 20 + 30 + 12 : 40 + 30 + 24],
  } as const;

  test.each(["opt", "ipip", "geneve"] as const)(
    "%s: the client is told, and cuts",
    (dsrDispatch) => {
      const [options, overhead] = DISPATCH[dsrDispatch];
      const lb = { mode: "dsr", dsrDispatch, dsrIcmpErrors: true } as const;
      const { services, one, far, client } = world({ family, ...options, lb });
      services.put("web", { spec: serviceSpec(family, { type: "NodePort" }) }, [{ pod: far }]);
      const errors: IcmpMessage[] = [];
      watch(client, "eth0", ({ ip }) => {
        if (
          ip.payload instanceof IcmpMessage &&
          ip.src === (dsrDispatch === "ipip" ? one : far).address
        ) {
          errors.push(ip.payload);
        }
      });
      const length = family === 4 ? 1472 : 1452;
      datagram(client, one.address, NODE_PORT, { length });
      expect(errors.map(({ type, code, rest }) => [type, code, rest])).toEqual([
        family === 4 ? [3, 4, 1500 - overhead] : [2, 0, 1500 - overhead],
      ]);
      // As the client sent it.
      const [{ payload }] = errors as [IcmpMessage];
      const { packet } = payload as QuotedPacket;
      const { dstPort } = packet.payload as UdpDatagram;
      expect([packet.dst, dstPort]).toEqual([one.address, NODE_PORT]);
      if (dsrDispatch === "ipip") return;
      expect(outcome(datagram(client, one.address, NODE_PORT, { length }))).toBe("connected");
    },
  );
});

test("a packet whose header has no room for the option is dropped", () => {
  const { services, one, far, client } = world({ lb: { mode: "dsr" } });
  services.put("web", { spec: serviceSpec(4, { type: "NodePort" }) }, [{ pod: far }]);
  const run = (ctx: TcContext) => {
    if (ctx.isIp) ctx.setOptions([{ type: 7, data: new Uint8Array(34) }]);
    return TC_ACT_OK;
  };
  const options = { type: "sched_cls" as const, name: "long", run };
  attachTcx(client.device("eth0"), "egress", new BpfProgram(client.kernel, options));
  expect(outcome(datagram(client, one.address, NODE_PORT))).toBe(
    "CT: Truncated or invalid header at node1",
  );
});

describe.each([4, 6] as const)("Maglev over IPv%i", (family) => {
  const virtual = VIRTUAL_IP[family];
  const dst = Prefix.host(parseIp(virtual));

  function maglev(of: Parameters<typeof serviceSpec>[1] = {}) {
    const services = new ServiceLab({ family, lb: { algorithm: "maglev" } });
    const nodes = [services.node(), services.node(), services.node()];
    const pods = nodes.map((node) => services.backend(node, 1000 + node.number));
    const spec = serviceSpec(family, { externalIPs: [virtual], ...of });
    services.put(
      "web",
      { spec },
      pods.map((pod) => ({ pod })),
    );
    const client = services.client(nodes[0] as LabNode);
    /** Who answers a connection, by whichever node it goes. */
    const ask = (srcPort: number) => {
      const chosen = nodes.map(({ address: via }) => {
        client.addRoute({ dst, via });
        const done = datagram(client, dst.address, 80, { srcPort });
        client.deleteRoute({ dst, via });
        return done.report?.netns;
      });
      expect(chosen[0]).toBeDefined();
      expect(new Set(chosen).size).toBe(1);
      return chosen[0];
    };
    return { ask };
  }

  test("any node sends a client's connection to the same backend", () => {
    const { ask } = maglev();
    const used = new Set<unknown>();
    for (let port = 40_000; port < 40_012; port++) used.add(ask(port));
    expect(used.size).toBeGreaterThan(1);
  });

  test("and all connections of a client with session affinity", () => {
    const { ask } = maglev({ sessionAffinity: "ClientIP" });
    const used = new Set<unknown>();
    for (let port = 40_000; port < 40_012; port++) used.add(ask(port));
    expect(used.size).toBe(1);
  });
});
