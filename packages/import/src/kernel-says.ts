import { InputError } from "@cnilab/core";
import { KernelError } from "@cnilab/linux";

/** Does something to the model; what its kernel refuses is the input's fault. @throws InputError */
export function kernelSays<T>(file: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const at = path === "" ? "" : `${path}: `;
    throw new InputError(`${at}the kernel would not have this (${error.message})`, file);
  }
}
