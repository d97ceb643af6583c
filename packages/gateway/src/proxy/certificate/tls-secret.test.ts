import { InputError, type Secret } from "@cnilab/core";
import { base64, utf8 } from "@scure/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { certificateOf } from "./tls-secret.ts";

// Made by OpenSSL 3.0.19: `openssl req -x509 -new -key K -days 36500 -subj S [-addext subjectAltName=…]`.

/** CN=ignored.example, subjectAltName=DNS:shop.example.com,DNS:*.shop.example.com,IP:192.0.2.7 */
const SHOP = `-----BEGIN CERTIFICATE-----
MIIBwzCCAWqgAwIBAgIUJxJMeKZc4mv7pm+21UBaLAs3NIEwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPaWdub3JlZC5leGFtcGxlMCAXDTI2MTEyMTIxMDUwN1oYDzIx
MjYxMDI4MjEwNTA3WjAaMRgwFgYDVQQDDA9pZ25vcmVkLmV4YW1wbGUwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQE+hr+7ouF9PmSq/CNNMtm5vm5hrSHIPzxhRrM
97AKWXseYx+I2OI12ovyyGCHCy49Svi2pdhSu7v2r6t/peRZo4GLMIGIMB0GA1Ud
DgQWBBR1OxqtJFuOhgb6tkX0GxjNFKXWxTAfBgNVHSMEGDAWgBR1OxqtJFuOhgb6
tkX0GxjNFKXWxTAPBgNVHRMBAf8EBTADAQH/MDUGA1UdEQQuMCyCEHNob3AuZXhh
bXBsZS5jb22CEiouc2hvcC5leGFtcGxlLmNvbYcEwAACBzAKBggqhkjOPQQDAgNH
ADBEAiBTUfNnYCJ3mcbrirUV6sJYA76JLWB0C1VSUXA8BDMDqwIgdKuP9reWkz1z
K1NDvValDqPrKarB8WbINuXnfs4y2hM=
-----END CERTIFICATE-----
`;

/** CN=old.example.com, no subjectAltName */
const COMMON_NAME_ONLY = `-----BEGIN CERTIFICATE-----
MIIBijCCATGgAwIBAgIUGS/YN8wif4zftc+kXzI6Nm6wnrEwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPb2xkLmV4YW1wbGUuY29tMCAXDTI2MTEyMTIxMDUwN1oYDzIx
MjYxMDI4MjEwNTA3WjAaMRgwFgYDVQQDDA9vbGQuZXhhbXBsZS5jb20wWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARYvef9WCr9g/t0NvKhQscCURHjSgsxocpVc/ma
j2xlvhS/NUjHc0rrmBkubldSMDtwqcPaHlEZVSs5h3mkWz5po1MwUTAdBgNVHQ4E
FgQUS4L7MnbT80oB2hHTJvC8qoAWOjswHwYDVR0jBBgwFoAUS4L7MnbT80oB2hHT
JvC8qoAWOjswDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBUwrJf
SoL37WeIYbVzYyfPE3ke+DQsWWeTOYjTFlM45gIgK8Ltdytu7IWU5w4Db+mY+vlK
aexvVxuOc1vZ2QVCFic=
-----END CERTIFICATE-----
`;

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
    secret(SHOP),
    ["shop.example.com", "*.shop.example.com", "192.0.2.7"],
  ],
  ["the common name", secret(COMMON_NAME_ONLY), ["old.example.com"]],
  ["a chain: the first", secret(`${COMMON_NAME_ONLY}\n${SHOP}`), ["old.example.com"]],
  [
    "stringData",
    secret(undefined, { stringData: { "tls.crt": SHOP } }),
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
  const body = SHOP.split("\n").slice(1, -2).join("");
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
