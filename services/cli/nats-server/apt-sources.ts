/** Reads where apt on this machine takes its packages from: `sources.list` lines and deb822 `.sources` files. Pure. */

export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/**
 * @param name    file name: what ends in `.sources` is deb822, everything else one-line
 * @param content its text; sources for source packages and disabled ones are left out
 */
export function parseAptSources(name: string, content: string): readonly AptSource[] {
  return name.endsWith('.sources') ? parseStanzas(content) : parseLines(content);
}

/**
 * The mirrors of Debian itself (not of somebody's own packages, not of the security archive), in their order.
 * @param codename of the installed release, such as `bookworm`
 */
export function debianMirrors(sources: readonly AptSource[], codename: string): readonly string[] {
  const releases = new Set([codename, 'stable', 'oldstable', 'testing', 'unstable', 'sid']);
  const uris = sources
    .filter(
      ({ suites, components }) => components.includes('main') && suites.some((suite) => releases.has(suite)),
    )
    .flatMap(({ uris }) => uris)
    .map((uri) => uri.replace(/\/+$/, ''))
    .filter((uri) => /^https?:\/\//.test(uri) && !uri.endsWith('-security'));
  return [...new Set(uris)];
}

// deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main contrib
function parseLines(content: string): readonly AptSource[] {
  return content.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) return [];
    const [, uri, suite, components] = match;
    if (uri === undefined || suite === undefined) return [];
    return [{ uris: [uri], suites: [suite], components: words(components) }];
  });
}

function parseStanzas(content: string): readonly AptSource[] {
  const withoutComments = content
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n');
  return withoutComments.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = fieldsOf(stanza);
    if (!words(fields.get('types')).includes('deb')) return [];
    if (/^(no|false|off|0)$/i.test(fields.get('enabled') ?? 'yes')) return [];
    return [
      {
        uris: words(fields.get('uris')),
        suites: words(fields.get('suites')),
        components: words(fields.get('components')),
      },
    ];
  });
}

function fieldsOf(stanza: string): ReadonlyMap<string, string> {
  // A line that begins with a blank continues the one before it.
  const lines = stanza.replaceAll(/\n[ \t]+/g, ' ').split('\n');
  return new Map(
    lines.flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 0
        ? []
        : [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const];
    }),
  );
}

function words(text: string | undefined): readonly string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}
