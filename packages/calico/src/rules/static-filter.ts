import type { IpFamily } from "@cnilab/net";
import {
  denyAction,
  denyWord,
  endpointToHostAction,
  filterAllowAction,
} from "./configured-actions.ts";
import { failsafeIn, failsafeOut } from "./failsafe.ts";
import { CHAIN, fixedSet } from "./fixed-names.ts";
import { allCalicoBits } from "./mark-bits.ts";
import { splitPorts } from "./port-split.ts";
import {
  clearMark,
  DROP,
  ESTABLISHED,
  goTo,
  interfaces,
  ipSet,
  jump,
  markClear,
  markNotClear,
  markSet,
  notIpSet,
  ports,
  protocol,
  RETURN,
  type RuleMatch,
  setMark,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

const IPIP = 4;
const UDP = 17;
const ICMPV6 = 58;

const TO_LOCAL: RuleMatch = { match: "addrtype", side: "destination", type: "LOCAL" };
const FROM_LOCAL: RuleMatch = { match: "addrtype", side: "source", type: "LOCAL" };

/** Chains of table filter that only the configuration decides about (`felix/rules/static.go` StaticFilterTableChains). */
export function staticFilterChains(config: RulesConfig, family: IpFamily): TableChain[] {
  const { ipvs } = config;
  return [
    forwardChain(config),
    inputChain(config, family),
    workloadToHostChain(config, family),
    failsafeIn(config, "filter", family),
    ...(ipvs ? [forwardCheckChain(config, family)] : []),
    outputChain(config, family),
    failsafeOut(config, "filter", family),
    ...(ipvs ? [forwardEndpointMarkChain(config)] : []),
  ];
}

/** What stands at the end of the built-in chain FORWARD. */
export function forwardAppendRules(config: RulesConfig): TableRule[] {
  const { accept } = config.marks;
  return [
    {
      comments: ["Policy explicitly accepted packet."],
      matches: [markSet(accept)],
      action: filterAllowAction(config),
    },
    // For mangle cali-POSTROUTING: what comes there with this bit was forwarded, and policy has seen it.
    { action: setMark(accept) },
  ];
}

function forwardChain(config: RulesConfig): TableChain {
  const { marks } = config;
  return {
    name: CHAIN.forward,
    rules: [
      // The accept bit may come from table raw or mangle.
      { action: clearMark(allCalicoBits(marks) & ~marks.accept) },
      { matches: [markClear(marks.accept)], action: jump(CHAIN.fromHostEndpointForward) },
      ...config.interfacePrefixes.flatMap((prefix): TableRule[] => [
        { matches: [interfaces("in", prefix)], action: jump(CHAIN.fromWorkloadDispatch) },
        { matches: [interfaces("out", prefix)], action: jump(CHAIN.toWorkloadDispatch) },
      ]),
      { action: jump(CHAIN.toHostEndpointForward) },
      { action: jump(CHAIN.cidrBlock) },
    ],
  };
}

function inputChain(config: RulesConfig, family: IpFamily): TableChain {
  const { marks } = config;
  const rules: TableRule[] = [...tunnelInput(config, family)];
  if (config.ipvs) {
    rules.push(
      { action: clearMark(marks.endpoint) },
      { action: jump(CHAIN.forwardCheck) },
      { matches: [markNotClear(marks.endpoint)], action: RETURN },
    );
  }
  for (const prefix of config.interfacePrefixes) {
    rules.push({ matches: [interfaces("in", prefix)], action: goTo(CHAIN.workloadToHost) });
  }
  rules.push(
    { matches: [markSet(marks.accept)], action: filterAllowAction(config) },
    { action: clearMark(allCalicoBits(marks)) },
    { action: jump(CHAIN.fromHostEndpoint) },
    acceptedByHostEndpoint(config),
  );
  return { name: CHAIN.input, rules };
}

function acceptedByHostEndpoint(config: RulesConfig): TableRule {
  return {
    comments: ["Host endpoint policy accepted packet."],
    matches: [markSet(config.marks.accept)],
    action: filterAllowAction(config),
  };
}

/** Tunnelled packets are taken from Calico's nodes, and from nobody else. */
function tunnelInput(config: RulesConfig, family: IpFamily): TableRule[] {
  const allow = filterAllowAction(config);
  const rules: TableRule[] = [];
  if (family === 4 && config.ipipEnabled) {
    rules.push(
      {
        comments: ["Allow IPIP packets from Calico hosts"],
        matches: [protocol(IPIP), ipSet("source", fixedSet("allHosts", 4)), TO_LOCAL],
        action: allow,
      },
      {
        comments: [`${denyWord(config)} IPIP packets from non-Calico hosts`],
        matches: [protocol(IPIP)],
        action: denyAction(config),
      },
    );
  }
  if (vxlanEnabled(config, family)) {
    const vxlan = [protocol(UDP), ports("destination", config.vxlanPort)];
    // The real one drops for IPv4 whatever filterDenyAction says, and follows it for IPv6.
    const [word, deny] = family === 4 ? ["Drop", DROP] : [denyWord(config), denyAction(config)];
    rules.push(
      {
        comments: [`Allow IPv${family} VXLAN packets from allowed hosts`],
        matches: [...vxlan, ipSet("source", fixedSet("allVxlanHosts", family)), TO_LOCAL],
        action: allow,
      },
      {
        comments: [`${word} IPv${family} VXLAN packets from non-allowed hosts`],
        matches: [...vxlan, TO_LOCAL],
        action: deny,
      },
    );
  }
  const wireguard = wireguardPort(config, family);
  if (wireguard !== undefined) {
    rules.push({
      comments: [`Allow incoming IPv${family} Wireguard packets`],
      matches: [protocol(UDP), ports("destination", wireguard), TO_LOCAL],
      action: allow,
    });
  }
  return rules;
}

/** Multicast listeners' reports, router solicitations, and neighbours' questions and answers: a router cannot do without. */
const ICMPV6_NEEDED = [130, 131, 132, 133, 135, 136];

function workloadToHostChain(config: RulesConfig, family: IpFamily): TableChain {
  const icmpv6 = ICMPV6_NEEDED.map(
    (type): TableRule => ({
      matches: [protocol(ICMPV6), { match: "icmp", version: 6, type }],
      action: filterAllowAction(config),
    }),
  );
  return {
    name: CHAIN.workloadToHost,
    rules: [
      ...(family === 6 ? icmpv6 : []),
      { action: jump(CHAIN.fromWorkloadDispatch) },
      {
        comments: ["Configured DefaultEndpointToHostAction"],
        action: endpointToHostAction(config),
      },
    ],
  };
}

/** With IPVS, what is forwarded comes through INPUT: tells it from what is for this host. */
function forwardCheckChain(config: RulesConfig, family: IpFamily): TableChain {
  const thisHost = fixedSet("thisHost", family);
  const nodePorts = splitPorts(config.kubeNodePortRanges).flatMap((split) =>
    ["tcp", "udp"].map(
      (name): TableRule => ({
        comments: ["To kubernetes NodePort service"],
        matches: [
          protocol(name),
          { match: "ports", side: "destination", ports: split },
          ipSet("destination", thisHost),
        ],
        action: goTo(CHAIN.setEndpointMark),
      }),
    ),
  );
  return {
    name: CHAIN.forwardCheck,
    rules: [
      { matches: [ESTABLISHED], action: RETURN },
      ...nodePorts,
      {
        comments: ["To kubernetes service"],
        matches: [notIpSet("destination", thisHost)],
        action: jump(CHAIN.setEndpointMark),
      },
    ],
  };
}

function outputChain(config: RulesConfig, family: IpFamily): TableChain {
  const { marks } = config;
  const rules: TableRule[] = [
    { matches: [markSet(marks.accept)], action: filterAllowAction(config) },
  ];
  if (config.ipvs) {
    rules.push({
      matches: [markNotClear(marks.endpoint)],
      action: goTo(CHAIN.forwardEndpointMark),
    });
  }
  for (const prefix of config.interfacePrefixes) {
    rules.push({ matches: [interfaces("out", prefix)], action: RETURN });
  }
  rules.push(
    ...tunnelOutput(config, family),
    { action: clearMark(allCalicoBits(marks)) },
    // Of what is sent to a translated address the outgoing interface is not known yet; mangle POSTROUTING sees to it.
    { matches: [{ match: "dnat", negated: true }], action: jump(CHAIN.toHostEndpoint) },
    acceptedByHostEndpoint(config),
  );
  return { name: CHAIN.output, rules };
}

/** Host policy must not cut the node's own tunnels. */
function tunnelOutput(config: RulesConfig, family: IpFamily): TableRule[] {
  const allow = filterAllowAction(config);
  const rules: TableRule[] = [];
  if (family === 4 && config.ipipEnabled) {
    rules.push({
      comments: ["Allow IPIP packets to other Calico hosts"],
      matches: [protocol(IPIP), ipSet("destination", fixedSet("allHosts", 4)), FROM_LOCAL],
      action: allow,
    });
  }
  if (vxlanEnabled(config, family)) {
    rules.push({
      comments: [`Allow IPv${family} VXLAN packets to other allowed hosts`],
      matches: [
        protocol(UDP),
        ports("destination", config.vxlanPort),
        FROM_LOCAL,
        ipSet("destination", fixedSet("allVxlanHosts", family)),
      ],
      action: allow,
    });
  }
  const wireguard = wireguardPort(config, family);
  if (wireguard !== undefined) {
    rules.push({
      comments: [`Allow outgoing IPv${family} Wireguard packets`],
      matches: [protocol(UDP), ports("destination", wireguard), FROM_LOCAL],
      action: allow,
    });
  }
  return rules;
}

/** What IPVS forwards leaves through OUTPUT; there the mark says where it came from. */
function forwardEndpointMarkChain(config: RulesConfig): TableChain {
  const { marks } = config;
  return {
    name: CHAIN.forwardEndpointMark,
    rules: [
      {
        matches: [
          { match: "mark", value: marks.nonCaliEndpoint, mask: marks.endpoint, negated: true },
        ],
        action: jump(CHAIN.fromEndpointMark),
      },
      ...config.interfacePrefixes.map(
        (prefix): TableRule => ({
          matches: [interfaces("out", prefix)],
          action: jump(CHAIN.toWorkloadDispatch),
        }),
      ),
      { action: jump(CHAIN.toHostEndpointForward) },
      // An encapsulated packet inherits the mark and comes by again.
      { action: clearMark(marks.endpoint) },
      {
        comments: ["Policy explicitly accepted packet."],
        matches: [markSet(marks.accept)],
        action: filterAllowAction(config),
      },
    ],
  };
}

export function vxlanEnabled(config: RulesConfig, family: IpFamily): boolean {
  return family === 4 ? config.vxlanEnabled : config.vxlanEnabledV6;
}

function wireguardPort(config: RulesConfig, family: IpFamily): number | undefined {
  if (family === 4) return config.wireguardEnabled ? config.wireguardListeningPort : undefined;
  return config.wireguardEnabledV6 ? config.wireguardListeningPortV6 : undefined;
}
