import { expect, test } from "vitest";
import { x25519PublicKey } from "./x25519.ts";

const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (two) => Number.parseInt(two, 16));
const hex = (octets: Uint8Array) =>
  [...octets].map((b) => b.toString(16).padStart(2, "0")).join("");

// Pairs that OpenSSL 3 made.
test.each([
  {
    secret: "78ba5a50823dc0461cfad11dde2b5e5fe6a76566eb1956456b9db9ff1992eb49",
    key: "bff4c453815ac73e92863dbefdffb2323c087c66bf117c92e09d0f422cb8e852",
  },
  {
    secret: "1808c844d362012eedc02291d4e99bed6bf1b910dbd31886fa2ebb733911ac49",
    key: "9ab3c601bc410db9b35aef2680cc4c31e6a2d3f95afea5246f253c46cfb42647",
  },
  {
    secret: "381a600878ffa008fc7a0cfcc17374cded93b593a82673f08daa2275e76bec74",
    key: "73ee5d6bf1dc6824648a6eed49b6e5ced2597472615dab35dfa9fae07e9e0567",
  },
])("the public key of $secret", ({ secret, key }) => {
  expect(hex(x25519PublicKey(bytes(secret)))).toBe(key);
});
