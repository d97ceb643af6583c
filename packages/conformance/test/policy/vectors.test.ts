import { vectorTests } from "../../../../tools/vector-tests.ts";
import { runShortSuite } from "../vectors/policy.ts";

await vectorTests("policy", runShortSuite);
