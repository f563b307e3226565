/** @module The part of Standard Schema 1 (https://standardschema.dev) that is called here, written down because a package for a few types would be a dependency. */

import type { PayloadIssue } from './errors.ts';

/** Any validator that speaks Standard Schema: valibot, zod, arktype and others. `Output` is what it makes of a valid value. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** For the compiler alone: no schema has it at run time. */
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** What validating gave: the value as the schema makes it, or a list of what is wrong. */
export interface StandardResult<Output = unknown> {
  readonly value?: Output | undefined;
  readonly issues?: readonly StandardIssue[] | undefined;
}

/** One thing that is wrong, and where. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Whether a value is a schema; those of arktype are functions. */
export function isSchema(value: unknown): value is StandardSchema {
  const standard = (value as Partial<StandardSchema> | null | undefined)?.['~standard'];
  return typeof standard?.validate === 'function';
}

/** The issue as it may be shown: with its path as one text, and without the value that was refused. */
export function shownIssue({ path = [], message }: StandardIssue, refused: unknown): PayloadIssue {
  let value = refused;
  let shownPath = '';
  for (const step of path) {
    const key = typeof step === 'object' ? step.key : step;
    value = Object(value)[key];
    shownPath += typeof key === 'number' ? `[${key}]` : `.${String(key)}`;
  }
  return { path: shownPath.replace(/^\./, ''), message: withoutValue(message, value) };
}

/** Many schema libraries repeat the refused value in the message, some without escaping it, and a body must not get into a log. */
function withoutValue(message: string, value: unknown): string {
  if (typeof value !== 'string')
    return message.replaceAll(`received ${value}`, 'received …').replaceAll(`was ${value}`, 'was …');
  return [JSON.stringify(value), `"${value}"`, `'${value}'`, `\`${value}\``].reduce(
    (masked, quoted) => masked.replaceAll(quoted, '"…"'),
    value.length > 8 ? message.replaceAll(value, '…') : message,
  );
}
