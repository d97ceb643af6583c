import type { NetDevice } from "../device/net-device.ts";
import type { FlowEffect, FlowRecording } from "../flow-cache.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Network } from "../network.ts";
import type { Trace } from "../trace.ts";
import type { BpfProgArray } from "./array-map.ts";
import type { BpfMap, BpfResult, UpdateFlag } from "./bpf-map.ts";
import type { BpfProgram, BpfProgramType, ContextOf } from "./bpf-program.ts";
import type { BpfEventArray } from "./event-array.ts";

/** `MAX_TAIL_CALL_CNT`, include/linux/bpf.h. */
export const MAX_TAIL_CALL_CNT = 33;

/** What all programs may do, whatever they are run for: look up, write, call others, tell. */
export abstract class BpfContext {
  readonly netns: NetNamespace;
  /** The program that runs now. */
  program: BpfProgram;
  /** Look-ups of this run so far. */
  lookups = 0;
  /** Of {@link lookups}, those that are counted. */
  #counted = 0;
  #tailCalls = 0;
  /** The walk's recording, while the walk can be repeated. */
  #recording: FlowRecording | undefined;

  constructor(netns: NetNamespace, program: BpfProgram) {
    this.netns = netns;
    this.program = program;
    this.#recording = netns.network.recording;
    this.#begin(program);
  }

  /** The record of the walk, and the packet's number in it. */
  abstract get trace(): Trace | undefined;
  abstract get packetNumber(): number;
  /** The device that it is run for. */
  abstract get dev(): NetDevice | undefined;

  get network(): Network {
    return this.netns.network;
  }

  /** Virtual milliseconds (`bpf_ktime_get_ns`, `bpf_jiffies64`). See {@link expires}. */
  get now(): number {
    return this.network.clock.now;
  }

  /** 32 random bits (`bpf_get_prandom_u32`). */
  random(): number {
    this.#recording?.unrepeatable();
    return this.netns.kernel.random.uint32();
  }

  /** `bpf_map_lookup_elem`. */
  lookup<K, V>(map: BpfMap<K, V>, key: K): V | undefined {
    this.lookups++;
    const value = map.find(key);
    const recording = this.#recording;
    if (recording?.repeatable) {
      recording.dependsOn(map.condition(key));
      const use = map.use(key);
      if (use !== undefined) recording.effect(use);
    }
    const { trace } = this;
    if (trace !== undefined) {
      this.#mapStep(trace, "lookup", map, key, value);
    }
    return value;
  }

  /** `bpf_map_update_elem`. @returns the error number, if there is one */
  update<K, V>(map: BpfMap<K, V>, key: K, value: V, flags?: UpdateFlag): BpfResult {
    this.#recording?.unrepeatable();
    const errno = map.write(key, value, flags);
    const { trace } = this;
    if (trace !== undefined) this.#mapStep(trace, errno ?? "update", map, key, value);
    return errno;
  }

  /** `bpf_map_delete_elem`. */
  delete<K, V>(map: BpfMap<K, V>, key: K): BpfResult {
    this.#recording?.unrepeatable();
    const errno = map.erase(key);
    const { trace } = this;
    if (trace !== undefined) this.#mapStep(trace, errno ?? "delete", map, key, undefined);
    return errno;
  }

  /**
   * Goes on with another program (`bpf_tail_call`): `return ctx.tailCall(calls, 7) ?? missed(ctx)`.
   * @returns its verdict; `undefined` where there is none of this number, or too many called each other
   */
  tailCall(programs: BpfProgArray, index: number): number | undefined {
    const program = programs.find(index);
    const recording = this.#recording;
    if (recording?.repeatable) recording.dependsOn(programs.condition(index));
    const called = program !== undefined && this.#tailCalls < MAX_TAIL_CALL_CNT;
    const { trace } = this;
    if (trace !== undefined) {
      this.#mapStep(trace, called ? "tail-call" : "missed tail-call", programs, index, program);
    }
    if (!called) return undefined;
    this.#tailCalls++;
    this.program = program;
    this.#begin(program);
    return (program.run as (ctx: BpfContext) => number)(this);
  }

  /** `bpf_perf_event_output`. */
  output<E>(events: BpfEventArray<E>, event: E): void {
    if (!events.isRead) return;
    this.#recording?.unrepeatable();
    events.output(event);
  }

  /** A line for the trace. */
  note(text: string): void {
    this.trace?.steps.push({
      kind: "note",
      netns: this.netns,
      packet: this.packetNumber,
      dev: this.dev,
      text,
    });
  }

  /** What each further packet of the flow does that skips the walk; see `BpfProgramOptions.repeatable`. */
  effect(effect: FlowEffect): void {
    this.#recording?.effect(effect);
  }

  /** The program may answer otherwise after `at`, virtual milliseconds. */
  expires(at: number): void {
    this.#recording?.expires(at);
  }

  /** Every packet has to be walked. */
  unrepeatable(): void {
    this.#recording?.unrepeatable();
  }

  /** Another program of the same hook sees what the ones before it have left. */
  next(program: BpfProgram): void {
    this.program = program;
    this.#tailCalls = 0;
    this.#begin(program);
  }

  #begin(program: BpfProgram): void {
    program.runCount++;
    const recording = this.#recording;
    if (recording === undefined) return;
    if (program.repeatable) recording.effect(new RunCount(program));
    else recording.unrepeatable();
  }

  /** The run is over: who counts costs is told. */
  finish(first: BpfProgram): void {
    const lookups = this.lookups - this.#counted;
    if (lookups === 0) return;
    this.#counted = this.lookups;
    const { bpf } = this.netns.kernel;
    first.lookups += lookups;
    bpf.lookups += lookups;
    this.#recording?.effect({
      repeat(packets) {
        first.lookups += packets * lookups;
        bpf.lookups += packets * lookups;
      },
    });
  }

  #mapStep<K, V>(
    trace: Trace,
    operation: string,
    map: BpfMap<K, V>,
    key: K,
    value: V | undefined,
  ): void {
    trace.steps.push({
      kind: "bpf-map",
      netns: this.netns,
      packet: this.packetNumber,
      dev: this.dev,
      program: this.program.name,
      operation,
      map,
      key: map.keyText(key),
      value: value === undefined ? undefined : map.valueText(value, key),
      origin: value === undefined ? undefined : map.text.origin?.(key, value),
    });
  }
}

class RunCount implements FlowEffect {
  readonly #program: BpfProgram;

  constructor(program: BpfProgram) {
    this.#program = program;
  }

  repeat(packets: number): void {
    this.#program.runCount += packets;
  }
}

/** Runs a program as the first one. */
export function runProgram<T extends BpfProgramType>(
  program: BpfProgram<T>,
  ctx: ContextOf[T] & BpfContext,
): number {
  const verdict = program.run(ctx);
  ctx.finish(program as unknown as BpfProgram);
  return verdict;
}
