// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose's own variables
import { InputError } from "@cnilab/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseEnvFile } from "./env-file.ts";

const FILE = `\ufeff# settings
A=1
export B = two words  # a comment
C='single $A "and" # so on'
D="double $A \\"x\\"\\n"
E=$A-\${GONE:-none}
F: yaml
HOME
UNSET
G=
H="over
two lines"
I=a#b
`;

test("reads what Compose reads", () => {
  expect({ ...parseEnvFile(FILE, ".env", { HOME: "/root" }) }).toEqual({
    A: "1",
    B: "two words",
    C: 'single $A "and" # so on',
    D: 'double 1 "x"\n',
    E: "1-none",
    F: "yaml",
    HOME: "/root",
    G: "",
    H: "over\ntwo lines",
    I: "a#b",
  });
});

test.each([
  { text: "A=1\nB='open", error: ".env:2: the value has no closing '" },
  { text: "= x", error: ".env:1: is no line of NAME=value" },
  { text: "A B=x", error: ".env:1: is no line of NAME=value" },
  { text: "A=${", error: ".env:1: " },
])("$text", ({ text, error }) => {
  expect(() => parseEnvFile(text, ".env", {})).toThrow(error);
});

test("any text is taken, or is one error", () => {
  const piece = fc.constantFrom("A", "=", ":", "'", '"', "#", "$", "{", "}", "\\", " ", "\n", "x");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      try {
        parseEnvFile(pieces.join(""), ".env", {});
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
  );
});
