import { InputError, type Secret } from "@cnilab/core";
import { base64, utf8 } from "@scure/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { COMMON_NAME_PEM, SHOP_PEM } from "../../../test/certificates.ts";
import { certificateOf } from "./tls-secret.ts";

function secret(crt: string | undefined, fields: Partial<Secret> = {}): Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "tls", namespace: "shop" },
    type: "kubernetes.io/tls",
    ...(crt === undefined ? {} : { data: { "tls.crt": base64.encode(utf8.decode(crt)) } }),
    ...fields,
  };
}

test.each<[string, Secret, string[]]>([
  [
    "subject alternative names",
    secret(SHOP_PEM),
    ["shop.example.com", "*.shop.example.com", "192.0.2.7"],
  ],
  ["the common name", secret(COMMON_NAME_PEM), ["old.example.com"]],
  ["a chain: the first", secret(`${COMMON_NAME_PEM}\n${SHOP_PEM}`), ["old.example.com"]],
  [
    "stringData",
    secret(undefined, { stringData: { "tls.crt": SHOP_PEM } }),
    ["shop.example.com", "*.shop.example.com", "192.0.2.7"],
  ],
])("names of %s", (_, object, names) => {
  expect(certificateOf(object)).toEqual({ names, source: "Secret shop/tls" });
});

test.each<[string, Secret, string]>([
  ["nothing", secret(undefined), "has no tls.crt"],
  ["no base64", secret(undefined, { data: { "tls.crt": "%%" } }), "is not base64"],
  ["no PEM", secret("hello"), "holds no PEM certificate"],
  [
    "a key",
    secret("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
    "holds no PEM certificate",
  ],
  [
    "a cut certificate",
    secret("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
    "is no X.509 certificate that can be read",
  ],
])("a Secret with %s has one clear message", (_, object, message) => {
  expect(() => certificateOf(object)).toThrow(InputError);
  expect(() => certificateOf(object)).toThrow(`Secret shop/tls: `);
  expect(() => certificateOf(object)).toThrow(message);
});

test("whatever is in the Secret: names, or one clear message", () => {
  const body = SHOP_PEM.split("\n").slice(1, -2).join("");
  fc.assert(
    fc.property(fc.nat(body.length - 1), fc.base64String({ maxLength: 8 }), (at, put) => {
      const broken = `${body.slice(0, at)}${put}${body.slice(at + put.length)}`;
      const pem = `-----BEGIN CERTIFICATE-----\n${broken}\n-----END CERTIFICATE-----`;
      try {
        expect(certificateOf(secret(pem)).names.every((n) => typeof n === "string")).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
  );
});
