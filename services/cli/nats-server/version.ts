/**
 * Which nats-server versions Trivet runs on.
 *
 * 2.12.10 is the first of the 2.12 line that keeps sequences on purge and does not race on deduplication;
 * the 2.14 line got both mends in 2.14.2. What lies between (2.13, 2.14.0, 2.14.1) has neither for certain.
 */

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** `RC.1`, `beta.2`, …: a pre-release comes before the version that it announces. */
  readonly preRelease: boolean;
}

export const floorText = '2.12.10 or later in the 2.12 line, or 2.14.2 or later';
export const recommendedVersion = '2.15.2';

const olderLineFloor: Version = { major: 2, minor: 12, patch: 10, preRelease: false };
const olderLineEnd: Version = { major: 2, minor: 13, patch: 0, preRelease: true };
const newerLineFloor: Version = { major: 2, minor: 14, patch: 2, preRelease: false };

/**
 * Reads a version as `nats-server --version`, the INFO line, Git tags and Debian packages write it.
 * @param text for example `nats-server: v2.15.2`, `2.15.1-1`, `2.9.10-1+b3`, `v2.16.0-RC.1`, `2.16.0~rc1-1`
 * @returns undefined when there is no version in the text
 */
export function parseVersion(text: string): Version | undefined {
  const match = /(?:^|[\sv:])(\d+)\.(\d+)\.(\d+)([-~][A-Za-z]+)?/.exec(text);
  if (match === null) return undefined;
  return {
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3]),
    preRelease: match[4] !== undefined,
  };
}

export function versionText(version: Version): string {
  return `${version.major}.${version.minor}.${version.patch}${version.preRelease ? '-pre' : ''}`;
}

/** Negative when `left` is older, positive when it is newer, 0 when they are the same release. */
export function compareVersions(left: Version, right: Version): number {
  return (
    left.major - right.major ||
    left.minor - right.minor ||
    left.patch - right.patch ||
    Number(right.preRelease) - Number(left.preRelease)
  );
}

/** True for what `floorText` says; a text without a version is not supported. */
export function isSupportedVersion(text: string): boolean {
  const version = parseVersion(text);
  if (version === undefined) return false;
  if (compareVersions(version, newerLineFloor) >= 0) return true;
  return compareVersions(version, olderLineFloor) >= 0 && compareVersions(version, olderLineEnd) < 0;
}
