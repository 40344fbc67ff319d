import { expect, test } from 'vitest';

import { debianMirrors, parseAptSources } from '#services/cli/nats-server/apt-sources.ts';

const deb822 = `Types: deb
# a comment between the fields
URIs: http://first.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://first.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: https://mirror.example/debian/
  https://second.example/debian
Suites: bookworm
Components: main contrib
Enabled: yes

Types: deb
URIs: https://switched-off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: https://sources.example/debian
Suites: bookworm
Components: main
`;

const oneLine = `# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://ftp.example/debian bookworm main contrib # the usual one
deb-src http://ftp.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb https://packages.example/apt bookworm-pgdg main
deb https://download.example/linux/debian bookworm stable
`;

test('mirrors of Debian are read from deb822 files', () => {
  expect(debianMirrors(parseAptSources('debian.sources', deb822), 'bookworm')).toEqual([
    'http://first.example/debian',
    'https://mirror.example/debian',
    'https://second.example/debian',
  ]);
});

test('mirrors of Debian are read from one-line files', () => {
  expect(debianMirrors(parseAptSources('/etc/apt/sources.list', oneLine), 'bookworm')).toEqual([
    'http://ftp.example/debian',
  ]);
});

test("neither the security archive nor somebody's own packages count as a mirror of Debian", () => {
  const sources = parseAptSources('x.list', oneLine);
  expect(debianMirrors(sources, 'trixie')).toEqual([]);
});

test('a file of another form has no sources', () => {
  expect(parseAptSources('x.list', 'hello\n\ndeb\n')).toEqual([]);
  expect(parseAptSources('x.sources', 'hello\n\n:\n')).toEqual([]);
});
