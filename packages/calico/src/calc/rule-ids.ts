import { sha224 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";
import type {
  IcmpTypeAndCode,
  PortRange,
  Rule,
  RuleProtocol,
  ServiceAccountMatch,
} from "./messages.ts";
import { ProtobufWriter } from "./protobuf.ts";

/** Characters of a rule's id (`felix/calc/rule_convert.go` RuleIDLength). */
const LENGTH = 16;

/**
 * Gives rules their ids: each hashes the rule as it is sent, after all those before it
 * (`felix/calc/rule_convert.go` fillInRuleIDs).
 */
export function withRuleIds(rules: readonly Omit<Rule, "ruleId">[], seed: string): readonly Rule[] {
  let hash = sha224(utf8ToBytes(seed));
  return rules.map((rule) => {
    hash = sha224(concatBytes(hash, encode(rule).bytes));
    return { ...rule, ruleId: base64urlnopad.encode(hash).slice(0, LENGTH) };
  });
}

/** Field numbers of `message Rule` in `felix/proto/felixbackend.proto`. Go writes what stands in a oneof behind all else. */
function encode(rule: Omit<Rule, "ruleId">): ProtobufWriter {
  const ipVersion = rule.ipVersion === undefined ? 0 : rule.ipVersion === "IPV4" ? 4 : 6;
  return new ProtobufWriter()
    .string(1, rule.action)
    .int(2, ipVersion)
    .message(3, protocol(rule.protocol))
    .strings(4, rule.srcNet)
    .messages(5, rule.srcPorts, portRange)
    .strings(6, rule.dstNet)
    .messages(7, rule.dstPorts, portRange)
    .strings(10, rule.srcIpSetIds)
    .strings(11, rule.dstIpSetIds)
    .strings(12, rule.srcNamedPortIpSetIds)
    .strings(13, rule.dstNamedPortIpSetIds)
    .strings(15, rule.dstIpPortSetIds)
    .message(102, protocol(rule.notProtocol))
    .strings(103, rule.notSrcNet)
    .messages(104, rule.notSrcPorts, portRange)
    .strings(105, rule.notDstNet)
    .messages(106, rule.notDstPorts, portRange)
    .strings(109, rule.notSrcIpSetIds)
    .strings(110, rule.notDstIpSetIds)
    .strings(112, rule.notSrcNamedPortIpSetIds)
    .strings(113, rule.notDstNamedPortIpSetIds)
    .string(114, rule.originalSrcSelector)
    .string(115, rule.originalDstSelector)
    .string(116, rule.originalSrcNamespaceSelector)
    .string(117, rule.originalDstNamespaceSelector)
    .string(118, rule.originalNotSrcSelector)
    .string(119, rule.originalNotDstSelector)
    .message(120, serviceAccounts(rule.srcServiceAccountMatch))
    .message(121, serviceAccounts(rule.dstServiceAccountMatch))
    .message(122, http(rule.httpMatch))
    .message(123, metadata(rule.metadata))
    .string(130, rule.originalDstService)
    .string(131, rule.originalDstServiceNamespace)
    .string(132, rule.originalSrcService)
    .string(133, rule.originalSrcServiceNamespace)
    .int(8, rule.icmpType, true)
    .message(9, icmp(rule.icmpTypeCode))
    .int(107, rule.notIcmpType, true)
    .message(108, icmp(rule.notIcmpTypeCode));
}

function protocol(value: RuleProtocol | undefined): ProtobufWriter | undefined {
  if (value === undefined) return undefined;
  const writer = new ProtobufWriter();
  return "number" in value ? writer.int(1, value.number, true) : writer.string(2, value.name, true);
}

function portRange({ first, last }: PortRange): ProtobufWriter {
  return new ProtobufWriter().int(1, first).int(2, last);
}

function icmp(value: IcmpTypeAndCode | undefined): ProtobufWriter | undefined {
  return value && new ProtobufWriter().int(1, value.type).int(2, value.code);
}

function serviceAccounts(match: ServiceAccountMatch | undefined): ProtobufWriter | undefined {
  return match && new ProtobufWriter().string(1, match.selector).strings(2, match.names);
}

function http(match: Rule["httpMatch"]): ProtobufWriter | undefined {
  return (
    match &&
    new ProtobufWriter()
      .strings(1, match.methods)
      .messages(2, match.paths, (path) =>
        "exact" in path
          ? new ProtobufWriter().string(1, path.exact, true)
          : new ProtobufWriter().string(2, path.prefix, true),
      )
  );
}

/** Go writes a map's entries in any order; here by key. */
function metadata(value: Rule["metadata"]): ProtobufWriter | undefined {
  return (
    value &&
    new ProtobufWriter().messages(1, Object.keys(value.annotations).sort(), (key) =>
      // An entry of a map always has both of its fields.
      new ProtobufWriter().string(1, key, true).string(2, value.annotations[key], true),
    )
  );
}
