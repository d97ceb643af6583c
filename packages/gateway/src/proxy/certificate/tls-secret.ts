import { InputError, objectKey, type Secret } from "@cnilab/core";
import type { Certificate } from "@cnilab/linux";
import { AsnConvert, type OctetString } from "@peculiar/asn1-schema";
import {
  id_ce_subjectAltName,
  type Name,
  SubjectAlternativeName,
  Certificate as X509Certificate,
} from "@peculiar/asn1-x509";
import { base64, utf8 } from "@scure/base";

/** Object identifier of commonName (RFC 5280 appendix A.1). */
const COMMON_NAME = "2.5.4.3";

/**
 * The certificate of a Secret of type kubernetes.io/tls, as far as a client compares it: the names that it is for.
 * @throws InputError where the Secret has none that can be read
 */
export function certificateOf(secret: Secret): Certificate {
  const source = `Secret ${objectKey(secret)}`;
  return { names: namesOf(firstCertificate(secret, source), source), source };
}

/** Names of a certificate: its subject alternative names; the common name only where it has none (RFC 6125 section 6.4.4). */
function namesOf(certificate: X509Certificate, source: string): readonly string[] {
  const { extensions, subject } = certificate.tbsCertificate;
  const extension = extensions?.find(({ extnID }) => extnID === id_ce_subjectAltName);
  if (extension === undefined) return commonNames(subject);
  try {
    const names = AsnConvert.parse(octets(extension.extnValue), SubjectAlternativeName);
    return names.flatMap(({ dNSName, iPAddress }) => dNSName ?? iPAddress ?? []);
  } catch (error) {
    throw unreadable(source, error);
  }
}

function commonNames(subject: Name): string[] {
  return [...subject].flatMap((part) =>
    [...part].filter(({ type }) => type === COMMON_NAME).map(({ value }) => value.toString()),
  );
}

function firstCertificate(secret: Secret, source: string): X509Certificate {
  const encoded = secret.data?.["tls.crt"];
  const pem = secret.stringData?.["tls.crt"] ?? (encoded && decoded(encoded, source));
  if (pem === undefined || pem === "") {
    throw new InputError("has no tls.crt; a Secret of type kubernetes.io/tls needs one", source);
  }
  const block = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/.exec(pem)?.[1];
  if (block === undefined) {
    throw new InputError("tls.crt holds no PEM certificate (-----BEGIN CERTIFICATE-----)", source);
  }
  try {
    return AsnConvert.parse(base64.decode(block.replaceAll(/\s/g, "")), X509Certificate);
  } catch (error) {
    throw unreadable(source, error);
  }
}

function decoded(value: string, source: string): string {
  try {
    return utf8.encode(base64.decode(value.replaceAll(/\s/g, "")));
  } catch {
    throw new InputError("tls.crt in data is not base64", source);
  }
}

function octets(value: OctetString): ArrayBuffer {
  return value.buffer;
}

function unreadable(source: string, error: unknown): InputError {
  const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
  return new InputError(`tls.crt is no X.509 certificate that can be read: ${why}`, source);
}
