import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { StartRefused, exitCodes } from './exit-codes.ts';

/** What stays wrong until somebody changes it. A disk that is full, for one, passes. */
const lasting = new Set(['EACCES', 'EPERM', 'EROFS', 'EEXIST', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENAMETOOLONG']);

/**
 * Makes a folder below a process's own (or takes the one that is there), for its user alone: what is kept in it are
 * other people's payloads.
 * @param files names in it that are to be written where they are there already
 * @throws StartRefused (2) when this process may not write there
 */
export function openOwnedFolder(path: string, files: readonly string[] = []): void {
  try {
    makeFolder(path);
    const kept = files.map((name) => join(path, name)).filter((file) => existsSync(file));
    for (const one of [path, ...kept]) accessSync(one, constants.R_OK | constants.W_OK);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && lasting.has(String(error.code)))) throw error;
    throw new StartRefused(exitCodes.usage, `TRIVET_DATA: ${path} cannot be used (${error.message})`);
  }
}

/** Makes a folder, and those above it, for this user alone. Throws what the system says where it may not. */
export function makeFolder(path: string): void {
  // Asked before: on a file system that may only be read Node says of a new folder that there is none.
  accessSync(nearest(path), constants.W_OK);
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** The path itself, or what is there of the folders above it. */
function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}
