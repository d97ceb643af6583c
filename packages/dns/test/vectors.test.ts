import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/dns.ts";

await vectorTests("dns", runSuite);
