import {
  type Check,
  dnsSubdomain,
  type FieldPath,
  fail,
  integer,
  list,
  map,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import {
  hasPorts,
  isPortName,
  isSet,
  namespaceSelector,
  network,
  port,
  prefixOf,
  protocol,
  selector,
  unique,
} from "./field-checks.ts";
import type { EntityRule, HTTPPath, Rule } from "./v3/rule.ts";

// Rules of policies and profiles (api/pkg/apis/projectcalico/v3/policy_common.go, and validateRule and its like of
// libcalico-go/lib/validator/v3/validator.go).

const icmp: Check = (value, path) => {
  strictObject({ type: integer(0, 254), code: integer(0, 255) })(value, path);
  const { type, code } = value as { readonly type?: number; readonly code?: number };
  if (code !== undefined && type === undefined) fail([...path, "code"], "needs a type beside it");
};

const httpPath: Check = (value, path) => {
  strictObject({ exact: string, prefix: string })(value, path);
  const { exact, prefix } = value as HTTPPath;
  if (isSet(exact) === isSet(prefix)) fail(path, "must have exactly one of exact, prefix");
  const text = (isSet(exact) ? exact : prefix) as string;
  if (text.startsWith("/") && !/[? #]/.test(text)) return;
  fail(
    [...path, isSet(exact) ? "exact" : "prefix"],
    `must start with / and hold no ?, # or space, not ${JSON.stringify(text)}`,
  );
};

const http = strictObject({ methods: unique(list(string, 0, 20)), paths: list(httpPath, 0, 20) });

const services: Check = (value, path) => {
  strictObject({ name: dnsSubdomain, namespace: dnsSubdomain }, ["name"])(value, path);
};

const nets = unique(list(network, 0, 256));
const ports = list(port, 0, 50);

const entityFields = strictObject({
  nets,
  selector,
  namespaceSelector,
  services,
  ports,
  notNets: nets,
  notSelector: selector,
  notPorts: ports,
  serviceAccounts: strictObject({ names: unique(list(string)), selector }),
});

const NOT_BESIDE_SERVICES = [
  "selector",
  "notSelector",
  "namespaceSelector",
  "nets",
  "notNets",
  "serviceAccounts",
] as const;

const entityRule: Check = (value, path) => {
  entityFields(value, path);
  const entity = value as EntityRule;
  if (entity.services !== undefined) {
    const beside = NOT_BESIDE_SERVICES.find((field) => isGiven(entity[field]));
    if (beside !== undefined) {
      fail([...path, beside], "cannot stand beside services; make it a rule of its own");
    }
  }
};

const ruleFields = strictObject(
  {
    action: oneOf("Allow", "Deny", "Log", "Pass"),
    ipVersion: (value, path) => {
      if (value !== 4 && value !== 6) fail(path, `must be 4 or 6, not ${JSON.stringify(value)}`);
    },
    protocol,
    icmp,
    notProtocol: protocol,
    notICMP: icmp,
    source: entityRule,
    destination: entityRule,
    http,
    metadata: strictObject({ annotations: map(() => undefined, string) }),
  },
  ["action"],
);

const rule: Check = (value, path) => {
  ruleFields(value, path);
  const given = value as Rule;
  checkProtocol(given, path);
  checkPorts(given, path);
  checkFamilies(given, path);
  if (given.http !== undefined) {
    if (given.action !== "Allow") fail([...path, "http"], "can only be allowed");
    if (given.protocol !== undefined && !is(given.protocol, "TCP", 6)) {
      fail([...path, "http"], `needs protocol TCP, not ${given.protocol}`);
    }
  }
};

function checkProtocol(given: Rule, path: FieldPath): void {
  const { icmp: fields, ipVersion } = given;
  const isIcmp = is(given.protocol, "ICMP", 1) || is(given.protocol, "ICMPv6", 58);
  if (fields !== undefined && !isIcmp) {
    fail([...path, "icmp"], "needs protocol ICMP or ICMPv6 beside it");
  }
  for (const field of ["protocol", "notProtocol"] as const) {
    const family = is(given[field], "ICMP", 1) ? 4 : is(given[field], "ICMPv6", 58) ? 6 : undefined;
    if (family === undefined || ipVersion === undefined || ipVersion === family) continue;
    fail(
      [...path, "ipVersion"],
      `must be ${family} beside ${field} ${given[field]}, not ${ipVersion}`,
    );
  }
}

function checkPorts(given: Rule, path: FieldPath): void {
  for (const side of ["source", "destination"] as const) {
    for (const field of ["ports", "notPorts"] as const) {
      const all = given[side]?.[field] ?? [];
      if (all.length === 0) continue;
      const at = [...path, side, field];
      if (side === "destination" && given.destination?.services !== undefined) {
        fail(at, "cannot stand beside services, which have their own ports");
      }
      if (given.protocol === undefined) {
        const i = all.findIndex((each) => !isPortName(each));
        if (i >= 0) fail([...at, i], "needs protocol TCP, UDP or SCTP beside it");
      } else if (!hasPorts(given.protocol)) {
        fail(at, `need protocol TCP, UDP or SCTP, not ${given.protocol}`);
      }
    }
  }
}

/** Ranges of both families may stand together: Felix takes those of the family that it renders. */
function checkFamilies(given: Rule, path: FieldPath): void {
  const { ipVersion } = given;
  if (ipVersion === undefined) return;
  for (const side of ["source", "destination"] as const) {
    for (const field of ["nets", "notNets"] as const) {
      (given[side]?.[field] ?? []).forEach((text, i) => {
        const { family } = prefixOf(text);
        if (family === ipVersion) return;
        fail(
          [...path, side, field, i],
          `is IPv${family}, but the rule is for ipVersion ${ipVersion}`,
        );
      });
    }
  }
}

/** At most as many rules as a policy may have. */
const rules = list(rule, 0, 1024);

/** Rules for what comes in: a Service can be the source alone. @param needsNamespace where the policy has none itself */
export function ingressRules(needsNamespace: boolean): Check {
  return (value, path) => {
    rules(value, path);
    (value as readonly Rule[]).forEach(({ source, destination }, i) => {
      if (destination?.services !== undefined) {
        fail([...path, i, "destination", "services"], "can only be the source of an ingress rule");
      }
      checkServiceNamespace(source, needsNamespace, [...path, i, "source"]);
    });
  };
}

/** Rules for what goes out: a Service can be the destination alone, and nothing looks into HTTP. */
export function egressRules(needsNamespace: boolean): Check {
  return (value, path) => {
    rules(value, path);
    (value as readonly Rule[]).forEach(({ source, destination, http: match }, i) => {
      if (source?.services !== undefined) {
        fail([...path, i, "source", "services"], "can only be the destination of an egress rule");
      }
      if (match !== undefined) fail([...path, i, "http"], "can only be matched by ingress rules");
      checkServiceNamespace(destination, needsNamespace, [...path, i, "destination"]);
    });
  };
}

function checkServiceNamespace(
  entity: EntityRule | undefined,
  needed: boolean,
  path: FieldPath,
): void {
  if (!needed || entity?.services === undefined || isSet(entity.services.namespace)) return;
  fail([...path, "services", "namespace"], "is required, as the policy is in no namespace");
}

function is(value: unknown, name: string, number: number): boolean {
  return value === name || value === number || value === String(number);
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : isSet(value);
}
