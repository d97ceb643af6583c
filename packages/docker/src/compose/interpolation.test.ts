// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose's own variables
import fc from "fast-check";
import { expect, test } from "vitest";
import { InterpolationError, interpolate } from "./interpolation.ts";

const ENV = { USER: "ada", EMPTY: "", _x1: "1", TAG: "8" };

// Rows as compose-go's template_test.go has them.
test.each([
  { text: "plain", want: "plain" },
  { text: "$USER", want: "ada" },
  { text: "${USER}", want: "ada" },
  { text: "a ${USER} b $TAG.", want: "a ada b 8." },
  { text: "$$USER", want: "$USER" },
  { text: "$$$USER", want: "$ada" },
  { text: "$", want: "$" },
  { text: "cost: $5", want: "cost: $5" },
  { text: "$_x1", want: "1" },
  { text: "${GONE}", want: "", missing: ["GONE"] },
  { text: "$GONE.", want: ".", missing: ["GONE"] },
  { text: "${GONE:-x}", want: "x" },
  { text: "${GONE-x}", want: "x" },
  { text: "${EMPTY:-x}", want: "x" },
  { text: "${EMPTY-x}", want: "" },
  { text: "${USER:-x}", want: "ada" },
  { text: "${GONE:-http://${USER}:${PORT:-80}/}", want: "http://ada:80/" },
  { text: "${GONE:-}", want: "" },
  { text: "${USER:+yes}", want: "yes" },
  { text: "${EMPTY:+yes}", want: "" },
  { text: "${EMPTY+yes}", want: "yes" },
  { text: "${GONE+yes}", want: "" },
  { text: "${USER:?gone}", want: "ada" },
  { text: "${EMPTY?gone}", want: "" },
  { text: "constructor ${constructor:-none}", want: "constructor none" },
])("$text", ({ text, want, missing }) => {
  const found: string[] = [];
  expect(interpolate(text, ENV, (name) => found.push(name))).toBe(want);
  expect(found).toEqual(missing ?? []);
});

test.each([
  { text: "${", error: "no closing brace" },
  { text: "${USER", error: "no closing brace" },
  { text: "${}", error: "is no variable" },
  { text: "${1}", error: "is no variable" },
  { text: "${USER!x}", error: "is no variable" },
  { text: "${GONE:?set it}", error: "required variable GONE is missing a value: set it" },
  { text: "${EMPTY:?}", error: "required variable EMPTY is missing a value" },
  { text: "${GONE:?for ${USER}}", error: "missing a value: for ada" },
])("$text: $error", ({ text, error }) => {
  expect(() => interpolate(text, ENV, () => {})).toThrow(error);
});

test("any text is taken or is an error of its own", () => {
  const piece = fc.constantFrom("$", "{", "}", ":", "-", "?", "+", "USER", "GONE", "1", " ");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      try {
        interpolate(pieces.join(""), ENV, () => {});
      } catch (error) {
        expect(error).toBeInstanceOf(InterpolationError);
      }
    }),
  );
});

test("what has no dollar sign stays as it is, and doubled ones stand for themselves", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(interpolate(text.replaceAll("$", "$$$$"), ENV, () => {})).toBe(text);
    }),
  );
});
