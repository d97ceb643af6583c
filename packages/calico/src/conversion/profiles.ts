import type { KubeObject } from "@cnilab/core";
import type { Profile } from "../api/v3/profile.ts";
import {
  NAME_LABEL,
  NAMESPACE_LABEL_PREFIX,
  NAMESPACE_PROFILE_PREFIX,
  SERVICE_ACCOUNT_LABEL_PREFIX,
  SERVICE_ACCOUNT_PROFILE_PREFIX,
} from "./labels.ts";
import { convertUid } from "./uid.ts";

/** The profile that a namespace's pods have: all is allowed, and its labels are inherited (`conversion.go` NamespaceToProfile). */
export function namespaceProfile({ metadata }: Pick<KubeObject, "metadata">): Profile {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "Profile",
    metadata: profileMetadata(NAMESPACE_PROFILE_PREFIX + metadata.name, metadata),
    spec: {
      ingress: [{ action: "Allow" }],
      egress: [{ action: "Allow" }],
      labelsToApply: inheritedLabels(NAMESPACE_LABEL_PREFIX, metadata),
    },
  };
}

/** The profile that a service account's pods have: labels alone (`conversion.go` ServiceAccountToProfile). */
export function serviceAccountProfile({ metadata }: Pick<KubeObject, "metadata">): Profile {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "Profile",
    metadata: profileMetadata(
      serviceAccountProfileName(metadata.namespace, metadata.name),
      metadata,
    ),
    spec: { labelsToApply: inheritedLabels(SERVICE_ACCOUNT_LABEL_PREFIX, metadata) },
  };
}

/** `ksa.<namespace>.<name>`. */
export function serviceAccountProfileName(namespace: string | undefined, name: string): string {
  return `${SERVICE_ACCOUNT_PROFILE_PREFIX}${namespace ?? "default"}.${name}`;
}

function inheritedLabels(
  prefix: string,
  { name, labels = {} }: KubeObject["metadata"],
): Readonly<Record<string, string>> {
  const inherited = Object.entries(labels).map(([key, value]) => [prefix + key, value] as const);
  return Object.fromEntries([...inherited, [prefix + NAME_LABEL, name]]);
}

function profileMetadata(
  name: string,
  { uid, creationTimestamp }: KubeObject["metadata"],
): KubeObject["metadata"] {
  const ownUid = convertUid(uid);
  return {
    name,
    ...(ownUid !== undefined && { uid: ownUid }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
  };
}
