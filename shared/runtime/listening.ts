import { StartRefused, exitCodes } from './exit-codes.ts';

/** What may pass: the program that has the port ends, the address comes up. Trying again is worth it. */
const passing: ReadonlySet<unknown> = new Set(['EADDRINUSE', 'EADDRNOTAVAIL']);

/**
 * Begins to listen; where that fails, says which settings name that address.
 * @param at `settings`: what sets that address
 * @throws Error, or StartRefused (2) where nothing but other settings will help
 */
export async function listening<Value>(
  at: { readonly host: string; readonly port: number; readonly settings: string },
  begin: () => Promise<Value>,
): Promise<Value> {
  try {
    return await begin();
  } catch (error) {
    const problem = `${at.settings}: cannot listen on ${at.host}:${at.port} (${reasonOf(error)})`;
    if (error instanceof Error && 'code' in error && passing.has(error.code))
      throw new Error(problem, { cause: error });
    throw new StartRefused(exitCodes.usage, problem);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && error.code === 'EADDRINUSE' ? 'taken by another program' : error.message;
}
