/** @module The main job, `npm start`: the whole chain at work in a terminal. This file ties it to the process; what it does is in `command.ts`. */

import { run } from './command.ts';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort()); // a second one ends the process by itself
process.stdout.once('error', () => process.exit(1)); // whoever was reading has closed the pipe

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  output: process.stdout,
  errors: process.stderr,
  signal: interrupt.signal,
});
