const ownPrefix = 'trivet';

/**
 * nats.conf for another subject prefix: its permissions name the subjects.
 * Only quoted subjects begin with the prefix and a dot; user names and comments stay as they are.
 */
export function renderConfig(config: string, prefix: string): string {
  return prefix === ownPrefix ? config : config.replaceAll(`"${ownPrefix}.`, `"${prefix}.`);
}
