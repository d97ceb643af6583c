import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/kube-proxy.ts";

await vectorTests("kube-proxy", runSuite);
