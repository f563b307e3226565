/** @module The part of Standard Schema 1 (https://standardschema.dev) that is called here, written down because a package for three types would be a dependency. */

/** Any validator that speaks Standard Schema: valibot, zod, arktype and others. */
export interface StandardSchema {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult | Promise<StandardResult>;
  };
}

/** What validating gave: nothing wrong, or a list of what is. */
export interface StandardResult {
  readonly issues?: readonly StandardIssue[] | undefined;
}

/** One thing that is wrong, and where. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
