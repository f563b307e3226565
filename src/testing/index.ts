/** @module breakwater/testing: a clock that stands still, a fetch that plays a script, and the DeepSeek service in a process. */

export { createFakeClock, type FakeClock, type FakeClockOptions } from './fake-clock.ts';
export {
  createScriptedFetch,
  type ReplyParts,
  type ScriptedCall,
  type ScriptedFetch,
  type ScriptedReply,
} from './scripted-fetch.ts';
export type {
  SimulatedAnswer,
  SimulatedRequest,
  SimulatedText,
  SimulatedToolCall,
} from './simulated-answer.ts';
export type { Fault, ScriptedFault } from './simulated-faults.ts';
export { createSimulator, type Simulator, type SimulatorOptions } from './simulator.ts';
