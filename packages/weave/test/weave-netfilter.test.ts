import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/weave-netfilter.ts";

await vectorTests("weave-netfilter", runSuite);
