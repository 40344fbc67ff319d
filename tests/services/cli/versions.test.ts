import { expect, test } from 'vitest';

import { compareVersions, isSupportedVersion, parseVersion } from '#services/cli/nats-server/version.ts';

test.each(['2.12.10', '2.12.11', '2.14.2', '2.14.3', '2.15.0', '2.15.2', '3.0.0', '2.15.1-1', 'v2.15.2'])(
  'nats-server %s is new enough',
  (version) => expect(isSupportedVersion(version)).toBe(true),
);

test.each(['2.9.10-1+b3', '2.10.29', '2.12.9', '2.13.0', '2.13.99', '2.14.0', '2.14.1', '1.99.99'])(
  'nats-server %s is refused',
  (version) => expect(isSupportedVersion(version)).toBe(false),
);

test('a pre-release comes before the version that it announces', () => {
  expect(isSupportedVersion('2.14.2-RC.1')).toBe(false);
  expect(isSupportedVersion('2.12.10-RC.1')).toBe(false);
  expect(isSupportedVersion('2.13.0-RC.1')).toBe(false);
  expect(isSupportedVersion('2.15.0~rc1-1')).toBe(true);
});

test('a text without a version is refused', () => {
  expect(isSupportedVersion('')).toBe(false);
  expect(isSupportedVersion('nats-server: unknown')).toBe(false);
});

test('versions are read from what nats-server prints about itself', () => {
  const version = parseVersion('nats-server: v2.15.2\n');
  expect(version).toEqual({ major: 2, minor: 15, patch: 2, preRelease: false });
});

test('a Debian revision does not change which release it is', () => {
  const [packaged, plain] = [parseVersion('2.15.1-1'), parseVersion('2.15.1')];
  expect(packaged && plain && compareVersions(packaged, plain)).toBe(0);
});
