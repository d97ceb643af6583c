import { SeededRandom, VirtualClock } from "@cnilab/core";
import { type BpfMap, Kernel, Network, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { Data, IPPROTO_TCP, IPPROTO_UDP, IpPacket } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { policyEntryOf, policyKeyOf } from "../../src/agent/policy/policy-map-values.ts";
import type { BpfObject } from "../../src/datapath/lib/bpf-object.ts";
import {
  DROP_POLICY,
  DROP_POLICY_AUTH_REQUIRED,
  DROP_POLICY_DENY,
} from "../../src/datapath/lib/drop-reason.ts";
import { policyCanEgress, policyCanIngress } from "../../src/datapath/lib/policy.ts";
import { CtTuple } from "../../src/datapath/maps/conntrack-map.ts";
import { policyMap } from "../../src/datapath/maps/policy-map.ts";
import { MapState } from "../../src/policy/map-state.ts";
import type { PolicyMapEntry } from "../../src/policy/policy-map-entry.ts";
import { type PolicyMapKey, portMask } from "../../src/policy/policy-map-key.ts";

const identity = fc.constantFrom(0, 1, 2, 1001, 1002);
const protocol = fc.constantFrom(0, IPPROTO_TCP, IPPROTO_UDP);
const direction = fc.constantFrom("ingress" as const, "egress" as const);

const key: fc.Arbitrary<PolicyMapKey> = fc
  .record({
    identity,
    direction,
    protocol,
    port: fc.integer({ min: 0, max: 31 }),
    bits: fc.constantFrom(0, 11, 13, 15, 16),
  })
  .map(({ bits, port, ...rest }) => {
    const portPrefixLength = rest.protocol === 0 ? 0 : bits;
    return { ...rest, port: port & portMask(portPrefixLength), portPrefixLength };
  });

const DENY = { deny: true, proxyPort: 0, proxyPortPriority: 0, authType: 0, authExplicit: false };
const redirect = fc.constantFrom(0, 0, 1, 7).map((priority) => ({
  ...DENY,
  deny: false,
  proxyPort: priority === 0 ? 0 : 10_000 + priority,
  proxyPortPriority: priority,
}));
const authentication = fc
  .record({ authType: fc.constantFrom(0, 0, 1, 2), authExplicit: fc.boolean() })
  .map((auth) => ({ ...DENY, deny: false, ...auth }));

/**
 * Entries with redirects, or with authentication: where both meet, programs ask for what the entry that stands back asks for, and
 * the agent's look-up (pkg/policy/mapstate.go) does not.
 */
const entries = fc.oneof(
  ...[redirect, authentication].map((allowed) =>
    fc.array(fc.tuple(key, fc.oneof(fc.constant(DENY), { arbitrary: allowed, weight: 3 })), {
      maxLength: 12,
    }),
  ),
);

test("programs find in a policy map what the agent's own look-up finds among its entries", () => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const kernel = new Kernel(network, "node");
  // What a program is given, without a packet on its way.
  const ctx = {
    network,
    length: 60,
    lookup: <K, V>(map: BpfMap<K, V>, sought: K) => map.find(sought),
  } as unknown as TcContext;
  const packet = fc.record({
    identity: fc.constantFrom(1, 2, 1001, 1002, 7777),
    direction,
    protocol: fc.constantFrom(IPPROTO_TCP, IPPROTO_UDP, 50),
    port: fc.integer({ min: 0, max: 31 }),
  });
  fc.assert(
    fc.property(entries, fc.array(packet, { minLength: 1, maxLength: 6 }), (given, packets) => {
      const state = new MapState();
      const policy = policyMap(kernel, 1, 100);
      for (const [at, fields] of given) {
        const value = { ...fields, rules: [] } as PolicyMapEntry;
        state.set(at, value);
        policy.update(policyKeyOf(at), policyEntryOf(at, value));
      }
      const config = { policyAccounting: false, fragmentsTracking: true };
      const obj = { policy, policyAuditMode: false, config } as unknown as BpfObject;
      for (const { port, ...sent } of packets) {
        const ip = new IpPacket(1, 2, sent.protocol, new Data(8));
        const tuple = new CtTuple(1, 2, port, 4000, sent.protocol, 0);
        const found = state.lookup({ ...sent, port, portPrefixLength: 16 });
        const check =
          sent.direction === "ingress"
            ? policyCanIngress(ctx, obj, ip, tuple, sent.identity)
            : policyCanEgress(ctx, obj, ip, tuple, 1, sent.identity);
        let verdict: number = TC_ACT_OK;
        if (found === undefined) verdict = DROP_POLICY;
        else if (found.deny) verdict = DROP_POLICY_DENY;
        else if (found.authType !== 0) verdict = DROP_POLICY_AUTH_REQUIRED;
        expect(check.verdict).toBe(verdict);
        if (found?.deny !== false) continue;
        expect([check.proxyPort, check.value]).toEqual([found.proxyPort, found.authType]);
      }
    }),
    { numRuns: 500 },
  );
});
