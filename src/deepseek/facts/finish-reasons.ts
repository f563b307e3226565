/** @module How an answer says that it ended. */

/** Ends that are failures of the service, told in a 200. Source: the API's page on finish reasons, 2026-09. */
export const FAILED_FINISHES: readonly unknown[] = Object.freeze(['insufficient_system_resource', 'aborted']);
