import type { BpfProgram, BpfProgramType } from "./bpf-program.ts";

/** A program's place at a hook (`bpf_link`): it stays when the agent that made it is gone. */
export class BpfLink<T extends BpfProgramType = BpfProgramType> {
  #program: BpfProgram<T>;
  readonly #detach: (link: BpfLink<T>) => void;
  readonly #changed: () => void;

  constructor(program: BpfProgram<T>, changed: () => void, detach: (link: BpfLink<T>) => void) {
    this.#program = program;
    this.#changed = changed;
    this.#detach = detach;
  }

  get program(): BpfProgram<T> {
    return this.#program;
  }

  /** Puts another program into the same place, so that no packet passes between the two (`BPF_LINK_UPDATE`). */
  update(program: BpfProgram<T>): void {
    this.#program = program;
    this.#changed();
  }

  detach(): void {
    this.#detach(this);
    this.#changed();
  }
}
