import { expect, test } from "vitest";
import { imageName } from "./container-program.ts";

test.each([
  ["coredns", "coredns"],
  ["coredns:1.13", "coredns"],
  ["registry.example:5000/coredns/coredns:v1.13.1", "coredns"],
  ["registry.example/ingress-nginx/controller:v1.12.0@sha256:0123", "controller"],
  ["registry.example:5000/web@sha256:0123", "web"],
  ["", ""],
  [undefined, ""],
])("%s is %s", (image, name) => {
  expect(imageName(image)).toBe(name);
});
