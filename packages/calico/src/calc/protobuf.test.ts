import { bytesToHex } from "@noble/hashes/utils.js";
import { expect, test } from "vitest";
import { ProtobufWriter } from "./protobuf.ts";

// The examples of the encoding's specification (protobuf.dev, Encoding), and the rules for what is left out.
test.each([
  ["a varint", new ProtobufWriter().int(1, 150), "089601"],
  ["a string", new ProtobufWriter().string(2, "testing"), "120774657374696e67"],
  ["a message", new ProtobufWriter().message(3, new ProtobufWriter().int(1, 150)), "1a03089601"],
  ["a field with a long number", new ProtobufWriter().string(123, "a"), "da070161"],
  ["zero is left out", new ProtobufWriter().int(1, 0).string(2, "").strings(3, []), ""],
  ["unless it is one of several", new ProtobufWriter().int(8, 0, true), "4000"],
  ["strings of a list may be empty", new ProtobufWriter().strings(4, ["a", ""]), "2201612200"],
  ["a message may be empty", new ProtobufWriter().message(9, new ProtobufWriter()), "4a00"],
  ["no message", new ProtobufWriter().message(9, undefined), ""],
])("%s", (_, writer, hex) => {
  expect(bytesToHex(writer.bytes)).toBe(hex);
});
