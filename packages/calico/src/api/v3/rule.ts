/** What a rule does with a packet that it matches. */
export type Action = "Allow" | "Deny" | "Log" | "Pass";

export type PolicyType = "Ingress" | "Egress";

/** `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, `UDPLite`, or a number from 1 to 255. */
export type Protocol = string | number;

/** A number, a range such as `1000:2000`, or the name of a port. */
export type Port = number | string;

export interface ICMPFields {
  readonly type?: number;
  /** Only beside a type. */
  readonly code?: number;
}

/** Exactly one of the fields. */
export interface HTTPPath {
  readonly exact?: string;
  readonly prefix?: string;
}

export interface HTTPMatch {
  readonly methods?: readonly string[];
  readonly paths?: readonly HTTPPath[];
}

export interface ServiceMatch {
  readonly name: string;
  /** The policy's own namespace where it is left out. */
  readonly namespace?: string;
}

export interface ServiceAccountMatch {
  readonly names?: readonly string[];
  readonly selector?: string;
}

/** Who sends, or who receives. All that is given must hold. */
export interface EntityRule {
  readonly nets?: readonly string[];
  readonly selector?: string;
  readonly namespaceSelector?: string;
  readonly services?: ServiceMatch;
  readonly ports?: readonly Port[];
  readonly notNets?: readonly string[];
  readonly notSelector?: string;
  readonly notPorts?: readonly Port[];
  readonly serviceAccounts?: ServiceAccountMatch;
}

/** A rule of a policy or of a profile. */
export interface Rule {
  readonly action: Action;
  readonly ipVersion?: 4 | 6;
  readonly protocol?: Protocol;
  readonly icmp?: ICMPFields;
  readonly notProtocol?: Protocol;
  readonly notICMP?: ICMPFields;
  readonly source?: EntityRule;
  readonly destination?: EntityRule;
  readonly http?: HTTPMatch;
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
}
