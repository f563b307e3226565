/**
 * @module A request that the service will surely refuse costs a round trip, a place in its queue and, worst, a
 * message that names no field. A schema finds it here. It only judges: what a schema would strip or change is sent all the
 * same, because a field that a schema does not know may be one that the service needs.
 */

import { loadBody, payloadOf } from '../core/body.ts';
import type { Call } from '../core/call.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { PayloadError, type PayloadIssue } from '../core/errors.ts';
import { aFunction, check, type Rule, readOptions } from '../core/options.ts';
import { isSchema, type StandardResult, type StandardSchema, shownIssue } from '../core/standard-schema.ts';
import type { Middleware } from '../core/types.ts';

/** What {@link payloadSchema} is told. */
export interface PayloadSchemaOptions {
  /** Validates the body, as parsed JSON. Any schema that implements Standard Schema 1: valibot, zod, arktype and others. */
  readonly schema: StandardSchema;
  /**
   * Says whether this call's body is what the schema describes.
   * @default every call with a JSON body
   */
  readonly shouldValidate?: ((call: Call) => boolean) | undefined;
  /**
   * Finds what is unwise in a valid body, but would be accepted; it becomes a `payload.advice` event.
   * @default none
   */
  readonly advise?: ((payload: unknown) => readonly PayloadIssue[]) | undefined;
}

// A schema may be a function, as those of arktype are.
const aSchema: Rule = { must: 'a Standard Schema', types: 'object function', test: isSchema };

/**
 * Validates the JSON body of a request before it is sent.
 *
 * A body that is not JSON, or of a kind that cannot be looked at (a stream, a form, a Blob), passes with a
 * `payload.skipped` event. A schema that validates asynchronously is awaited; one that throws passes its error on.
 *
 * @param schemaOrOptions The schema alone, or with options.
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 * @throws {PayloadError} From the fetch: `PAYLOAD_INVALID`, with every issue and its path.
 *
 * @example A schema of your own
 * ```ts throws
 * import { payloadSchema } from 'breakwater';
 * import * as v from 'valibot';
 *
 * const schema = v.looseObject({ temperature: v.pipe(v.number(), v.maxValue(2, 'must be 2 or less')) });
 * const checked = payloadSchema(schema)(fetch);
 * const body = JSON.stringify({ temperature: 2.5 });
 * await checked('https://api.deepseek.com/chat/completions', { method: 'POST', body }); // temperature: must be 2 or less
 * ```
 */
export function payloadSchema(schemaOrOptions: StandardSchema | PayloadSchemaOptions): Middleware {
  const subject = 'payloadSchema middleware';
  const options = isSchema(schemaOrOptions) ? { schema: schemaOrOptions } : schemaOrOptions;
  const rules = { schema: aSchema, shouldValidate: aFunction, advise: aFunction };
  const { schema, shouldValidate, advise } = readOptions<PayloadSchemaOptions, object>(
    subject,
    options,
    {},
    rules,
  );
  check(subject, '"schema"', schema, aSchema); // the one option that has no default
  // No async functions: most calls have nothing to wait for, and a promise per layer is what a chain costs.
  const validate = (call: Call, next: (call: Call) => Promise<Response>): Promise<Response> => {
    if (shouldValidate && !shouldValidate(call)) return next(call);
    const payload = payloadOf(call);
    if (payload === undefined) {
      if (call.body != null) call.context.emit?.({ type: 'payload.skipped' });
      return next(call);
    }
    const proceed = ({ issues }: StandardResult): Promise<Response> => {
      if (issues) throw new PayloadError(issues.map((issue) => shownIssue(issue, payload)));
      const advice = advise?.(payload) ?? [];
      if (advice.length > 0) call.context.emit?.({ type: 'payload.advice', issues: advice });
      return next(call);
    };
    const result = schema['~standard'].validate(payload);
    return 'then' in result ? result.then(proceed) : proceed(result);
  };
  return defineMiddleware('payloadSchema', (call, next) =>
    call.request ? loadBody(call).then((loaded) => validate(loaded, next)) : validate(call, next),
  );
}
