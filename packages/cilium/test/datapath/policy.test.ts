import { startEchoServer, TC_ACT_OK, UdpSocket } from "@cnilab/linux";
import { Data, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  DROP_ENCAP_PROHIBITED,
  DROP_POLICY,
  DROP_POLICY_AUTH_REQUIRED,
  DROP_POLICY_DENY,
} from "../../src/datapath/lib/drop-reason.ts";
import type { PolicyVerdictMessage } from "../../src/hubble/monitor-message.ts";
import {
  allow,
  connect,
  DatapathLab,
  datagram,
  deny,
  dropsOf,
  isolate,
  type LabOptions,
  outcome,
  type PolicyRuleOptions,
  ping,
  serve,
} from "./datapath-lab.ts";

const CLIENT = 1001;

function world(options: LabOptions = {}) {
  const lab = new DatapathLab(options);
  const one = lab.node();
  const two = lab.node();
  const a = one.pod(CLIENT);
  const b = one.pod(1002);
  const c = two.pod(1003);
  for (const { netns } of [a, b, c]) {
    serve(netns, 80);
    serve(netns, 53, IPPROTO_UDP);
  }
  return { lab, one, two, a, b, c };
}

const POLICY = { kind: "CiliumNetworkPolicy.cilium.io", namespace: "shop", name: "only-web" };

type Rule = Omit<PolicyRuleOptions, "egress">;

/** What a pod's policy says of TCP port 80 from identity 1001: entries, verdict, match type of the message. */
const PRECEDENCE: readonly (readonly [string, readonly Rule[], number, number])[] = [
  ["nothing", [], DROP_POLICY, 0],
  ["identity", [{ identity: CLIENT }], TC_ACT_OK, 1],
  ["identity and port", [{ identity: CLIENT, protocol: 6, port: 80 }], TC_ACT_OK, 2],
  ["port", [{ protocol: 6, port: 80 }], TC_ACT_OK, 3],
  ["all", [{}], TC_ACT_OK, 4],
  ["identity and protocol", [{ identity: CLIENT, protocol: 6 }], TC_ACT_OK, 5],
  ["protocol", [{ protocol: 6 }], TC_ACT_OK, 6],
  ["another identity", [{ identity: 7777 }], DROP_POLICY, 0],
  ["another port", [{ identity: CLIENT, protocol: 6, port: 81 }], DROP_POLICY, 0],
  ["another protocol", [{ identity: CLIENT, protocol: 17, port: 80 }], DROP_POLICY, 0],
  ["a range of ports", [{ protocol: 6, port: 64, portBits: 11 }], TC_ACT_OK, 3],
  ["a range below", [{ protocol: 6, port: 64, portBits: 12 }], DROP_POLICY, 0],
  ["identity denied", [{ identity: CLIENT, deny: true }, {}], DROP_POLICY_DENY, 1],
  ["all denied", [{ deny: true }, { identity: CLIENT }], DROP_POLICY_DENY, 4],
  [
    "a denied identity with a narrower port allowed for any",
    [
      { identity: CLIENT, deny: true },
      { protocol: 6, port: 80 },
    ],
    DROP_POLICY_DENY,
    1,
  ],
  [
    "a narrower deny does not matter for another port",
    [
      { identity: CLIENT, protocol: 6, port: 81, deny: true },
      { identity: CLIENT, protocol: 6 },
    ],
    TC_ACT_OK,
    5,
  ],
  [
    "the longer prefix of any identity",
    [{ identity: CLIENT }, { protocol: 6, port: 80 }],
    TC_ACT_OK,
    3,
  ],
  [
    "the identity where both are as long",
    [
      { identity: CLIENT, protocol: 6, port: 80 },
      { protocol: 6, port: 80 },
    ],
    TC_ACT_OK,
    2,
  ],
  [
    "a proxy before what is narrower",
    [
      { identity: CLIENT, protocol: 6, port: 80 },
      { protocol: 6, proxyPort: 10_000 },
    ],
    10_000,
    6,
  ],
  [
    "the proxy that comes first",
    [
      { identity: CLIENT, protocol: 6, port: 80, proxyPort: 10_001, priority: 7 },
      { protocol: 6, port: 80, proxyPort: 10_000, priority: 27 },
    ],
    10_000,
    3,
  ],
  [
    "authentication",
    [{ identity: CLIENT, authType: 1, explicitAuth: true }],
    DROP_POLICY_AUTH_REQUIRED,
    1,
  ],
  [
    "authentication of a wider entry, as the narrower has none of its own",
    [
      { identity: CLIENT, protocol: 6, port: 80 },
      { protocol: 6, authType: 2, explicitAuth: true },
    ],
    DROP_POLICY_AUTH_REQUIRED,
    2,
  ],
  [
    "a narrower entry that says there is none",
    [
      { identity: CLIENT, protocol: 6, port: 80, explicitAuth: true },
      { protocol: 6, authType: 2, explicitAuth: true },
    ],
    TC_ACT_OK,
    2,
  ],
];

describe.each([true, false])("which entry decides (egress: %s)", (egress) => {
  test.each(PRECEDENCE)("%s", (_name, rules, verdict, matchType) => {
    const { one, a, b } = world();
    // From a to b: what leaves a is policed for b's identity, what comes to b for a's.
    const policy = egress ? a.policy : b.policy;
    isolate(policy, egress);
    for (const rule of rules) {
      const identity = egress && rule.identity === CLIENT ? 1002 : rule.identity;
      allow(policy, { ...rule, egress, ...(identity !== undefined && { identity }) });
    }
    const messages = one.listen();
    const result = outcome(connect(a.netns, b.address, 80));
    const told = messages.find(
      (m): m is PolicyVerdictMessage => m.type === 5 && m.ingress === !egress,
    );
    expect(told).toMatchObject({ verdict, matchType });
    if (verdict === TC_ACT_OK) expect(result).toBe("connected");
    else expect(result).not.toBe("connected");
  });
});

test("a drop names the policy whose entry denies, or that has the endpoint deny what is not allowed", () => {
  const { a, b, c } = world();
  deny(b.policy, { egress: false, identity: CLIENT, origin: POLICY });
  expect(outcome(connect(a.netns, b.address, 80))).toMatch(
    /^Policy denied by denylist at node1 by only-web$/,
  );
  isolate(c.policy, false);
  c.policy.ingressDeniedBy = POLICY;
  expect(outcome(connect(a.netns, c.address, 80))).toBe("Policy denied at node2 by only-web");
  isolate(a.policy, true);
  expect(outcome(ping(a.netns, c.address))).toBe("Policy denied at node1");
});

test("in audit mode what is denied passes, and is told of", () => {
  const { one, a, b } = world({ endpoint: { policyAuditMode: true } });
  isolate(b.policy, false);
  const messages = one.listen();
  expect(outcome(connect(a.netns, b.address, 80))).toBe("connected");
  expect(messages).toContainEqual(
    expect.objectContaining({ type: 5, ingress: true, verdict: 0, audited: true, matchType: 0 }),
  );
});

test("answers pass though nobody may come", () => {
  const { a, c } = world();
  isolate(a.policy, false);
  isolate(c.policy, true);
  expect(outcome(connect(a.netns, c.address, 80))).toBe("connected");
  expect(outcome(connect(c.netns, a.address, 80))).toBe("Policy denied at node2");
});

test("packets of a connection that is there are policed, too", () => {
  const { lab, a, b } = world();
  let answers = 0;
  const client = new UdpSocket(a.netns, { owner: "client", onReceive: () => answers++ });
  const send = () => {
    client.sendTo(b.address, 53, new Data(8));
    lab.network.run();
    return answers;
  };
  expect([send(), send(), send()]).toEqual([1, 2, 3]);
  isolate(b.policy, false);
  expect([send(), send()]).toEqual([3, 3]);
  allow(b.policy, { egress: false, protocol: IPPROTO_UDP, port: 53 });
  expect(send()).toBe(4);
});

test("entries of ICMP are of its types; what says that fragments are needed always passes", () => {
  const { a, b } = world();
  isolate(b.policy, false);
  allow(b.policy, { egress: false, protocol: IPPROTO_ICMP, port: 8 });
  expect(outcome(ping(a.netns, b.address))).toBe("connected");
  expect(outcome(connect(a.netns, b.address, 80))).toBe("Policy denied at node1");
  isolate(a.policy, true);
  allow(a.policy, { egress: true, protocol: IPPROTO_ICMP, port: 0, portBits: 16 });
  allow(a.policy, { egress: true, protocol: IPPROTO_TCP });
  expect(outcome(ping(a.netns, b.address))).toBe("connected");
});

test("authentication lets pass until it is over", () => {
  const { lab, one, a, c } = world();
  isolate(c.policy, false);
  allow(c.policy, { egress: false, identity: CLIENT, authType: 1, explicitAuth: true });
  const messages = c.node.listen();
  expect(outcome(ping(a.netns, c.address))).toBe("No node ID found, 1 at node2");
  c.node.maps.nodes.update(one.address, { id: 42, spi: 0 });
  expect(outcome(ping(a.netns, c.address))).toBe("Authentication required, 1 at node2");
  const key = { localSecLabel: 1003, remoteSecLabel: CLIENT, remoteNodeId: 42, authType: 1 };
  c.node.maps.auth.update(key, { expiration: lab.clock.now + 30_000 });
  expect(outcome(ping(a.netns, c.address))).toBe("connected");
  lab.clock.runUntil(lab.clock.now + 30_000);
  expect(outcome(ping(a.netns, c.address))).toBe("Authentication required, 1 at node2");
  expect(dropsOf(messages)).toEqual([197, 189, 189]);
});

test("pods may not send to the tunnel's own port", () => {
  const { one, a, c } = world({ tunnel: "vxlan" });
  const messages = one.listen();
  expect(outcome(datagram(a.netns, c.address, 8472))).toMatch(/^Encapsulation/);
  expect(dropsOf(messages)).toEqual([-DROP_ENCAP_PROHIBITED]);
});

test("entries count what they decided, each once a packet", () => {
  const { one, a, b } = world();
  datagram(a.netns, b.address, 53);
  const stats = one.maps.policyStats.entries().map(([key, { packets, bytes }]) => {
    const { endpointId, secLabel, egress } = key;
    return { endpointId, secLabel, egress, packets, isCounted: bytes > 0 };
  });
  expect(stats).toEqual([
    { endpointId: a.id, secLabel: 0, egress: true, packets: 1, isCounted: true },
    { endpointId: b.id, secLabel: 0, egress: false, packets: 1, isCounted: true },
  ]);
});

test("a pod without its program of policy gets nothing", () => {
  const { one, a, b } = world();
  one.maps.callPolicy.delete(b.id);
  const messages = one.listen();
  expect(outcome(connect(a.netns, b.address, 80))).toBe(
    "Endpoint policy program not available at node1",
  );
  expect(dropsOf(messages).every((reason) => reason === 203)).toBe(true);
});

describe("with endpoint routes", () => {
  test("the pod's own device has the program of what comes in", () => {
    const { one, a, b, c } = world({ config: { endpointRoutes: true } });
    isolate(b.policy, false);
    allow(b.policy, { egress: false, identity: 1003 });
    expect(outcome(connect(a.netns, b.address, 80))).toBe("Policy denied at node1");
    expect(outcome(connect(c.netns, b.address, 80))).toBe("connected");
    startEchoServer(one.netns, { protocol: IPPROTO_TCP, port: 10_250, owner: "kubelet" });
    expect(outcome(connect(b.netns, one.address, 10_250))).toBe("connected");
  });
});

test("verdicts are told of the ways that policy is enforced", () => {
  const { one, a, b } = world();
  a.policy.verdictLogFilter = 0;
  b.policy.verdictLogFilter = 1;
  const messages = one.listen();
  expect(outcome(ping(a.netns, b.address))).toBe("connected");
  const verdicts = messages.filter((m): m is PolicyVerdictMessage => m.type === 5);
  expect(verdicts.map(({ ingress }) => ingress)).toEqual([true]);
});
