import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/**
 * Ends the output with one line of totals, `N passed, N failed`, for scripts that read it.
 * A file that cannot be loaded and an error outside of any test count as failed, for nothing else would show them.
 */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const total = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) total.failed++;
      for (const test of module.children.allTests()) total[test.result().state]++;
    }
    const skipped = total.skipped + total.pending;
    const line = `${total.passed} passed, ${total.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    process.once('exit', () => process.stdout.write(`${line}\n`));
  }
}
